//! What hides values.

use crate::keys::{Key, Keys, LENGTH};

use super::{Order, order, planned, run, texts};

pub fn keys() -> Keys {
    [Key::new("k1", [1; LENGTH]), Key::new("k2", [2; LENGTH])].into_iter().collect()
}

fn orders(skus: &[Option<&'static str>]) -> Vec<Order> {
    skus.iter().zip(1..).map(|(sku, id)| Order { sku: *sku, ..order(id) }).collect()
}

fn one(expr: &str, sku: Option<&'static str>) -> String {
    let result = run(&format!("SELECT {expr} AS x FROM input"), &orders(&[sku]));
    assert!(result.bad.is_empty(), "{expr}: {:?}", result.bad);
    texts(&result).remove(0)
}

#[test]
fn a_mask_shows_the_end_and_never_all() {
    for (expr, sku, masked) in [
        ("mask(sku)", Some("4711"), "****"),
        ("mask(sku, 2)", Some("4711"), "**11"),
        ("mask(sku, 4)", Some("4711"), "****"),
        ("mask(sku, 9)", Some("4711"), "****"),
        ("mask(sku, 0)", Some("4711"), "****"),
        ("mask(sku, -1)", Some("4711"), "****"),
        ("mask(sku, 9223372036854775807)", Some("4711"), "****"),
        ("mask(sku, 1)", Some("ä€🦀"), "**🦀"),
        ("mask(sku, 2)", Some(""), ""),
        ("mask(sku, 2)", None, "~"),
        ("mask(sku, NULL)", Some("4711"), "~"),
        ("mask(order_id, 1)", None, "*"),
        ("mask('4711', 1)", None, "***1"),
    ] {
        assert_eq!(one(expr, sku), masked, "{expr} of {sku:?}");
    }
}

#[test]
fn a_hash_is_the_keys_own_and_the_same_for_texts_integers_and_bytes() {
    let hash = |id: &str, text: &str| keys().get(id).expect("a key").hasher().hash(text.as_bytes());
    assert_eq!(one("hash(sku, 'k1')", Some("x")), hash("k1", "x"));
    assert_eq!(one("hash(sku, 'k2')", Some("x")), hash("k2", "x"));
    assert_eq!(one("hash(order_id, 'k1')", None), hash("k1", "1"));
    assert_eq!(one("hash(CAST(sku AS bytea), 'k1')", Some("x")), hash("k1", "x"));
    assert_eq!(one("hash('x', 'k1')", None), hash("k1", "x"));
    assert_eq!(one("hash(sku, 'k1')", None), "~");
    assert_eq!(one("hash(id, 'k1')", None), hash("k1", "00000000-0000-0000-0000-000000000001"));
}

#[test]
fn what_is_encrypted_comes_back_whatever_its_key() {
    for function in ["encrypt", "encrypt_deterministic"] {
        for key in ["k1", "k2"] {
            for sku in [Some("anna@example.org"), Some(""), Some("ä€🦀"), None] {
                let text = one(&format!("{function}(sku, '{key}')"), sku);
                assert_eq!(text == "~", sku.is_none(), "null stays null");
                assert!(sku.is_none_or(|_| text.contains(&format!(".{key}."))) && !text.contains("example"), "{text}");
                assert_eq!(one(&format!("decrypt({function}(sku, '{key}'))"), sku), sku.unwrap_or("~"));
            }
        }
    }
    let result = run("SELECT encrypt(sku, 'k1') AS x FROM input", &orders(&[Some("x"), Some("x")]));
    let rows = texts(&result);
    assert_ne!(rows[0], rows[1]);
    // A constant is not computed once for all rows: equal texts would show equal values.
    let rows = texts(&run("SELECT encrypt('x', 'k1') AS x FROM input", &orders(&[None, None])));
    assert_ne!(rows[0], rows[1]);
    let sql = "SELECT encrypt_deterministic(sku, 'k1') AS x FROM input";
    let (rows, again) = (texts(&run(sql, &orders(&[Some("x"), Some("x")]))), texts(&run(sql, &orders(&[Some("x")]))));
    assert!(rows[0] == rows[1] && rows[0] == again[0]);
    assert_eq!(one("decrypt(encrypt(order_id, 'k1'))", None), "1");
}

#[test]
fn what_cannot_be_decrypted_is_a_bad_record_without_its_value() {
    // Made with a key that is not there, cut, changed, and none at all.
    let skus = [
        Some("c4n4ry"),
        Some("tg1.k9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        Some("tg1.k1.AAAA"),
        Some("tg1d.k1.AAAAAAAAAAAAAAAAAAAAAAAA"),
        None,
    ];
    let result = run("SELECT decrypt(sku) AS x FROM input", &orders(&skus));
    assert_eq!(texts(&result), ["~"], "the others go on");
    let told: Vec<&str> = result.bad.iter().map(|(_, fault)| fault.reason.as_str()).collect();
    assert_eq!(
        told,
        [
            "column x: the text is none that encrypt made, in decrypt(sku)",
            "column x: it was encrypted with a key that [keys] does not have, in decrypt(sku)",
            "column x: the text is none that encrypt made, in decrypt(sku)",
            "column x: it was changed, or encrypted with another key of the same id, in decrypt(sku)",
        ]
    );
    assert!(result.bad.iter().all(|(_, fault)| fault.class == "decrypt"));
}

#[test]
fn mistakes_are_told_when_the_statement_is_planned() {
    for (sql, column, message, cure) in [
        ("SELECT sku, hash(sku, 'k3') AS x FROM input", 13, "there is no key k3", "k1, k2"),
        ("SELECT sku, hash(sku, 'k11') AS x FROM input", 13, "there is no key k11", "'k1'"),
        ("SELECT sku, hash(sku, 'private') AS x FROM input", 13, "there is no key private", "k1, k2"),
        ("SELECT hash(sku) AS x FROM input", 8, "a key's id", "'k1'"),
        ("SELECT hash(sku, Name) AS x FROM input", 8, "as a text", "'k1'"),
        ("SELECT encrypt(price, 'k1') AS x FROM input", 8, "a text or an integer", "CAST(x AS text)"),
        ("SELECT encrypt(CAST(sku AS bytea), 'k1') AS x FROM input", 8, "takes texts", "base64"),
        ("SELECT decrypt(sku, 'k1') AS x FROM input", 8, "names its key", "decrypt(x)"),
        ("SELECT mask(price) AS x FROM input", 8, "a text", "CAST(x AS text)"),
        ("SELECT mask(sku, 'a') AS x FROM input", 8, "how many", "mask(x)"),
        ("SELECT sku FROM input WHERE encrypt(sku, 'k1') = 'x'", 29, "each time", "encrypt_deterministic"),
        ("SELECT encypt(sku, 'k1') AS x FROM input", 8, "no function encypt", "`encrypt`"),
    ] {
        let problems = planned(sql).expect_err(sql);
        let problem = &problems[0];
        assert_eq!((problem.line, problem.column, problems.len()), (1, column, 1), "{sql}: {problems:?}");
        assert!(problem.message.contains(message) && problem.cure.contains(cure), "{sql}: {problem:?}");
    }
}

#[test]
fn what_varies_is_known() {
    let plan = planned("SELECT encrypt(sku, 'k1') AS a, md5(encrypt(sku, 'k1')) AS b, hash(sku, 'k1') AS c FROM input");
    let plan = plan.expect("a statement");
    let varies: Vec<bool> = (0..3).map(|output| plan.varies(output).is_some()).collect();
    assert_eq!(varies, [true, true, false]);
}
