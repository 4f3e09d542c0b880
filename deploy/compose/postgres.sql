CREATE TABLE orders (
    order_id    bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    sku         text NOT NULL,
    quantity    int NOT NULL,
    price       numeric(12,2) NOT NULL,
    status      text,
    created_at  timestamptz,
    note        text
);
ALTER TABLE orders OWNER TO app;
