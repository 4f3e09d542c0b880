CREATE TABLE orders (
    order_id    bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    sku         varchar(64) NOT NULL,
    quantity    int NOT NULL,
    price       decimal(12,2) NOT NULL,
    status      varchar(32),
    created_at  datetime(6),
    note        text
) ENGINE = InnoDB;
