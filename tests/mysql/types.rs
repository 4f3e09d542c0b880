//! Every type arrives as it was sent.

use std::sync::Arc;

use arrow_array::types::Decimal256Type;
use arrow_array::*;
use arrow_buffer::i256;
use tidegate::config::Mode;
use tidegate::retry::Disposition;
use tidegate::types::ColumnType;
use tidegate::write::session::Session;
use tidegate::write::step::Action;

use super::{Database, apply, on_both, plan, step};

const DAY: i64 = 86_400_000_000;
/// 2024-02-29 23:59:59.999999 in microseconds since 1970.
const LEAP: i64 = 19_782 * DAY + DAY - 1;

/// One column: its type, its values, and how the server shows them.
struct Case {
    native: &'static str,
    ty: ColumnType,
    values: ArrayRef,
    /// The expression that shows the column `v`.
    shown_by: &'static str,
    shown: Vec<String>,
}

fn case<const N: usize>(native: &'static str, ty: ColumnType, values: ArrayRef, shown: [&str; N]) -> Case {
    case_as(native, ty, values, "v", shown)
}

fn case_as<const N: usize>(
    native: &'static str,
    ty: ColumnType,
    values: ArrayRef,
    shown_by: &'static str,
    shown: [&str; N],
) -> Case {
    assert_eq!(values.len(), N, "{native}");
    Case { native, ty, values, shown_by, shown: shown.map(str::to_owned).to_vec() }
}

fn decimal65(digits: &[Option<&str>]) -> ArrayRef {
    let values = digits.iter().map(|digits| digits.map(|digits| i256::from_string(digits).unwrap()));
    let array: PrimitiveArray<Decimal256Type> = values.collect();
    Arc::new(array.with_precision_and_scale(65, 30).unwrap())
}

fn cases(is_mariadb: bool) -> Vec<Case> {
    use ColumnType as T;
    let nines = "9".repeat(65);
    let lowest = format!("-{nines}");
    let (highest_shown, lowest_shown) =
        (format!("{}.{}", "9".repeat(35), "9".repeat(30)), format!("-{}.{}", "9".repeat(35), "9".repeat(30)));
    let smallest = format!("0.{}1", "0".repeat(29));
    let stamps = vec![Some(LEAP), Some(0), Some(-1), None];
    let mut all = vec![
        case("BOOLEAN", T::Bool, Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])), ["1", "0", "null"]),
        case_as(
            "BIT(1)",
            T::Bool,
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
            "v + 0",
            ["1", "0", "null"],
        ),
        case("TINYINT", T::Int8, Arc::new(Int8Array::from(vec![Some(-128), Some(127), None])), ["-128", "127", "null"]),
        case("SMALLINT", T::Int16, Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX])), ["-32768", "32767"]),
        case("MEDIUMINT", T::Int32, Arc::new(Int32Array::from(vec![-8_388_608, 8_388_607])), ["-8388608", "8388607"]),
        case("INT", T::Int32, Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])), ["-2147483648", "2147483647"]),
        case(
            "BIGINT",
            T::Int64,
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX, (1 << 53) + 1])),
            ["-9223372036854775808", "9223372036854775807", "9007199254740993"],
        ),
        case("TINYINT UNSIGNED", T::UInt8, Arc::new(UInt8Array::from(vec![0, 255])), ["0", "255"]),
        case("SMALLINT UNSIGNED", T::UInt16, Arc::new(UInt16Array::from(vec![u16::MAX])), ["65535"]),
        case("INT UNSIGNED", T::UInt32, Arc::new(UInt32Array::from(vec![u32::MAX])), ["4294967295"]),
        case(
            "BIGINT UNSIGNED",
            T::UInt64,
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0), None])),
            ["18446744073709551615", "0", "null"],
        ),
        case_as(
            "FLOAT",
            T::Float32,
            Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::MAX), None])),
            "IF(v = CAST(0.1 AS FLOAT), '0.1', v)",
            ["0.1", "3.40282e38", "null"],
        ),
        case_as(
            "DOUBLE",
            T::Float64,
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::MAX), Some(5e-324), Some(-0.5), None])),
            "CASE WHEN v = 1.7976931348623157e308 THEN 'max' WHEN v = 0.1e0 THEN 'tenth' WHEN v > 0 THEN 'tiny' ELSE v END",
            ["tenth", "max", "tiny", "-0.5", "null"],
        ),
        case(
            "DECIMAL(12,2)",
            T::Decimal { precision: 12, scale: 2 },
            Arc::new(
                Decimal128Array::from(vec![Some(-5), Some(999_999_999_999), Some(0), None])
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
            ["-0.05", "9999999999.99", "0.00", "null"],
        ),
        case(
            "DECIMAL(65,30)",
            T::Decimal { precision: 65, scale: 30 },
            decimal65(&[Some(&nines), Some(&lowest), Some("1"), None]),
            [&highest_shown, &lowest_shown, &smallest, "null"],
        ),
        case(
            "VARCHAR(40)",
            T::Text,
            Arc::new(StringArray::from(vec![Some("a'b\\c\"`\0\n% 日本 👩‍🚀"), Some(""), Some("NULL"), None])),
            ["a'b\\c\"`\0\n% 日本 👩‍🚀", "", "NULL", "null"],
        ),
        case("TEXT", T::Text, Arc::new(StringArray::from(vec!["🦀"])), ["🦀"]),
        case("ENUM('small','großß')", T::Enum, Arc::new(StringArray::from(vec!["großß"])), ["großß"]),
        case("SET('a','b')", T::Text, Arc::new(StringArray::from(vec!["a,b"])), ["a,b"]),
        case_as(
            "VARBINARY(20)",
            T::Bytes,
            Arc::new(BinaryArray::from(vec![Some(&b"\xff\x00\xc3'"[..]), Some(b""), None])),
            "HEX(v)",
            ["FF00C327", "", "null"],
        ),
        case_as(
            "BINARY(16)",
            T::Bytes,
            Arc::new(BinaryArray::from(vec![&[0xAB_u8; 16][..]])),
            "HEX(v)",
            ["ABABABABABABABABABABABABABABABAB"],
        ),
        case_as("LONGBLOB", T::Bytes, Arc::new(BinaryArray::from(vec![&b"\x80"[..]])), "HEX(v)", ["80"]),
        case_as(
            "DATE",
            T::Date,
            Arc::new(Date32Array::from(vec![Some(19_782), Some(-1), Some(2_932_896), None])),
            "CAST(v AS CHAR)",
            ["2024-02-29", "1969-12-31", "9999-12-31", "null"],
        ),
        case_as(
            "TIME(6)",
            T::Time,
            Arc::new(Time64MicrosecondArray::from(vec![Some(DAY - 1), Some(0), Some(1), None])),
            "CAST(v AS CHAR)",
            ["23:59:59.999999", "00:00:00.000000", "00:00:00.000001", "null"],
        ),
        case_as(
            "DATETIME(6)",
            T::Timestamp,
            Arc::new(TimestampMicrosecondArray::from(stamps)),
            "CAST(v AS CHAR)",
            ["2024-02-29 23:59:59.999999", "1970-01-01 00:00:00.000000", "1969-12-31 23:59:59.999999", "null"],
        ),
        case_as(
            "TIMESTAMP(6) NULL",
            T::TimestampTz,
            Arc::new(TimestampMicrosecondArray::from(vec![Some(LEAP), Some(1_000_000), None]).with_timezone("UTC")),
            "UNIX_TIMESTAMP(v)",
            ["1709251199.999999", "1.000000", "null"],
        ),
        case("YEAR", T::Int16, Arc::new(Int16Array::from(vec![Some(2024), None])), ["2024", "null"]),
        case_as(
            "JSON",
            T::Json,
            Arc::new(StringArray::from(vec![Some(r#"{"a":"🦀"}"#), Some(r#"[1,"x"]"#), None])),
            "REPLACE(CONVERT(v USING utf8mb4), ' ', '')",
            [r#"{"a":"🦀"}"#, r#"[1,"x"]"#, "null"],
        ),
    ];
    if is_mariadb {
        let bytes = [0x12_u8, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0];
        let uuids = FixedSizeBinaryArray::try_from_sparse_iter_with_size([Some(bytes), None].into_iter(), 16).unwrap();
        let shown = ["123e4567-e89b-12d3-a456-426614174000", "null"];
        all.push(case_as("UUID", T::Uuid, Arc::new(uuids), "CAST(v AS CHAR)", shown));
        let addresses = StringArray::from(vec!["2001:db8::1"]);
        all.push(case_as("INET6", T::Text, Arc::new(addresses), "CAST(v AS CHAR)", ["2001:db8::1"]));
    }
    all
}

async fn round_trip(database: &Database, mode: Mode) {
    let mut session = database.session().await;
    for (number, case) in cases(database.is_mariadb).into_iter().enumerate() {
        let table = format!("t{number}_{mode:?}").to_lowercase();
        database.run(&format!("CREATE TABLE {table} (k INT PRIMARY KEY, v {})", case.native)).await;
        let rows = case.values.len() as i32;
        if mode == Mode::Update {
            for key in 0..rows {
                database.run(&format!("INSERT INTO {table} (k) VALUES ({key})")).await;
            }
        }
        let plan = plan(&mut session, &table, mode, &["k"]).await;
        assert_eq!(plan.columns[1].column.ty, Some(case.ty), "{}: {}", database.server, case.native);
        let keys: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        let put = step(Action::Put, &[0, 1], vec![keys, case.values]);
        assert_eq!(apply(&mut session, &plan, &[put]).await, [rows as u64], "{}: {}", database.server, case.native);
        let shown = database.rows(&format!("SELECT {} FROM {table} ORDER BY k", case.shown_by)).await;
        assert_eq!(shown, case.shown, "{}: {} by {mode:?}", database.server, case.native);
    }
}

#[tokio::test]
async fn every_type_arrives_exactly_by_append() {
    on_both(async |database| round_trip(database, Mode::Append).await).await;
}

#[tokio::test]
async fn every_type_arrives_exactly_by_upsert() {
    on_both(async |database| round_trip(database, Mode::Upsert).await).await;
}

#[tokio::test]
async fn every_type_arrives_exactly_by_update() {
    on_both(async |database| round_trip(database, Mode::Update).await).await;
}

/// Rows are found by keys of every type that makes a sensible key, near neighbours told apart.
#[tokio::test]
async fn keys_of_every_type_find_their_row() {
    on_both(async |database| {
        let mut session = database.session().await;
        let near =
            decimal65(&[Some("12345678901234567890123456789012345"), Some("12345678901234567890123456789012346")]);
        let mut keys: Vec<(&str, ArrayRef)> = vec![
            ("BIGINT", Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 1]))),
            ("BIGINT UNSIGNED", Arc::new(UInt64Array::from(vec![u64::MAX, u64::MAX - 1]))),
            ("DECIMAL(65,30)", near),
            ("VARCHAR(20)", Arc::new(StringArray::from(vec!["12", "012"]))),
            ("VARCHAR(20) CHARACTER SET latin1", Arc::new(StringArray::from(vec!["é", "b"]))),
            ("VARCHAR(20) CHARACTER SET utf8mb3", Arc::new(StringArray::from(vec!["日", "b"]))),
            ("VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin", Arc::new(StringArray::from(vec!["a", "A"]))),
            ("VARBINARY(20)", Arc::new(BinaryArray::from(vec![&b"\xff\x01"[..], b"\xff\x02"]))),
            ("DATE", Arc::new(Date32Array::from(vec![0, 1]))),
            ("DATETIME(6)", Arc::new(TimestampMicrosecondArray::from(vec![LEAP, LEAP - 1]))),
            ("TIMESTAMP(6)", Arc::new(TimestampMicrosecondArray::from(vec![LEAP, LEAP - 1]).with_timezone("UTC"))),
            ("TIME(6)", Arc::new(Time64MicrosecondArray::from(vec![5, 6]))),
            ("ENUM('x','y')", Arc::new(StringArray::from(vec!["x", "y"]))),
            ("DOUBLE", Arc::new(Float64Array::from(vec![0.1, 0.2]))),
        ];
        if database.is_mariadb {
            let uuids = FixedSizeBinaryArray::try_from_iter([[1_u8; 16], [2; 16]].into_iter()).unwrap();
            keys.push(("UUID", Arc::new(uuids)));
        }
        for (number, (native, key)) in keys.into_iter().enumerate() {
            let table = format!("k{number}");
            database.run(&format!("CREATE TABLE {table} (k {native} NOT NULL PRIMARY KEY, v INT)")).await;
            let upsert = plan(&mut session, &table, Mode::Upsert, &["k"]).await;
            let values = |a, b| super::ints(&[Some(a), Some(b)]);
            apply(&mut session, &upsert, &[step(Action::Put, &[0, 1], vec![key.clone(), values(1, 2)])]).await;
            let update = plan(&mut session, &table, Mode::Update, &["k"]).await;
            let put = step(Action::Put, &[0, 1], vec![key.clone(), values(3, 4)]);
            assert_eq!(apply(&mut session, &update, &[put]).await, [2], "{}: {native}", database.server);
            let shown = database.rows(&format!("SELECT v FROM {table} ORDER BY v")).await;
            assert_eq!(shown, ["3", "4"], "{}: {native}", database.server);
            let delete = step(Action::Delete, &[0], vec![key.slice(0, 1)]);
            assert_eq!(apply(&mut session, &update, &[delete]).await, [1], "{}: {native}", database.server);
            assert_eq!(database.rows(&format!("SELECT v FROM {table}")).await, ["4"], "{}: {native}", database.server);
        }
    })
    .await;
}

#[tokio::test]
async fn values_that_mysql_does_not_have_are_the_records_fault() {
    on_both(async |database| {
        database.run("CREATE TABLE t (f DOUBLE, g FLOAT, d DATE)").await;
        let mut session = database.session().await;
        let plan = plan(&mut session, "t", Mode::Append, &[]).await;
        let doubles = |value| Arc::new(Float64Array::from(vec![1.0, value])) as ArrayRef;
        let steps = [
            (step(Action::Put, &[0], vec![doubles(f64::NAN)]), "not-finite", "f"),
            (step(Action::Put, &[0], vec![doubles(f64::NEG_INFINITY)]), "not-finite", "f"),
            (step(Action::Put, &[1], vec![Arc::new(Float32Array::from(vec![1.0, f32::INFINITY]))]), "not-finite", "g"),
            (step(Action::Put, &[2], vec![Arc::new(Date32Array::from(vec![0, i32::MAX]))]), "out-of-range", "d"),
        ];
        for (step, class, column) in steps {
            session.begin().await.unwrap();
            let error = session.apply(&plan, &step).await.unwrap_err();
            assert_eq!((error.disposition, error.class), (Disposition::Isolate, class));
            assert_eq!((error.suspect, error.column.as_deref()), (Some(101), Some(column)));
            assert!(error.connection_usable);
            session.rollback().await.unwrap();
        }
        assert_eq!(database.count("t").await, 0);
    })
    .await;
}
