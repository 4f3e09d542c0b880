//! Which functions there are: the engine's that are deterministic and whose result a column can hold, by group, and
//! what is known of those that are not there.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion_expr::ScalarUDF;

/// The engine's functions that are offered, by group; the documentation lists the same.
pub fn groups() -> &'static [(&'static str, &'static [&'static str])] {
    &[
        ("conditions", &["coalesce", "nvl", "nvl2", "nullif", "greatest", "least"]),
        (
            "text",
            &[
                "ascii",
                "bit_length",
                "btrim",
                "character_length",
                "chr",
                "concat",
                "concat_ws",
                "contains",
                "ends_with",
                "find_in_set",
                "initcap",
                "left",
                "levenshtein",
                "lower",
                "ltrim",
                "octet_length",
                "overlay",
                "replace",
                "reverse",
                "right",
                "rtrim",
                "split_part",
                "starts_with",
                "strpos",
                "substr",
                "substr_index",
                "substring",
                "to_hex",
                "translate",
                "upper",
            ],
        ),
        ("regular expressions", &["regexp_count", "regexp_instr", "regexp_like", "regexp_match", "regexp_replace"]),
        (
            "numbers",
            &[
                "abs",
                "acos",
                "acosh",
                "asin",
                "asinh",
                "atan",
                "atan2",
                "atanh",
                "cbrt",
                "ceil",
                "cos",
                "cosh",
                "cot",
                "degrees",
                "exp",
                "factorial",
                "floor",
                "gcd",
                "isnan",
                "iszero",
                "lcm",
                "ln",
                "log",
                "log10",
                "log2",
                "nanvl",
                "pi",
                "power",
                "radians",
                "round",
                "signum",
                "sin",
                "sinh",
                "sqrt",
                "tan",
                "tanh",
                "trunc",
            ],
        ),
        (
            "date and time",
            &[
                "date_part",
                "date_trunc",
                "from_unixtime",
                "make_date",
                "make_time",
                "to_char",
                "to_date",
                "to_timestamp_micros",
                "to_timestamp_millis",
                "to_timestamp_seconds",
                "to_unixtime",
            ],
        ),
        ("bytes and hashes", &["decode", "digest", "encode", "md5", "sha224", "sha256", "sha384", "sha512"]),
        (
            "lists",
            &[
                "array_append",
                "array_concat",
                "array_distinct",
                "array_element",
                "array_except",
                "array_has",
                "array_has_all",
                "array_has_any",
                "array_intersect",
                "array_length",
                "array_max",
                "array_min",
                "array_position",
                "array_positions",
                "array_prepend",
                "array_remove",
                "array_remove_all",
                "array_replace",
                "array_reverse",
                "array_slice",
                "array_sort",
                "array_to_string",
                "array_union",
                "cardinality",
                "empty",
                "make_array",
                "string_to_array",
            ],
        ),
    ]
}

/// The functions that are offered, by their names and aliases.
#[derive(Debug)]
pub struct Catalog {
    by_name: HashMap<String, Arc<ScalarUDF>>,
}

impl Catalog {
    pub fn new(own: &[Arc<ScalarUDF>]) -> Self {
        let engine = datafusion_functions::all_default_functions()
            .into_iter()
            .chain(datafusion_functions_nested::all_default_nested_functions());
        let is_offered = |function: &Arc<ScalarUDF>| groups().iter().any(|(_, names)| names.contains(&function.name()));
        let mut by_name = HashMap::new();
        for function in engine.filter(is_offered).chain(own.iter().cloned()) {
            for alias in function.aliases() {
                by_name.insert(alias.clone(), function.clone());
            }
            by_name.insert(function.name().to_owned(), function);
        }
        Self { by_name }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.by_name.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Would its result differ when a batch is done again? Then what to write instead.
pub fn not_deterministic(name: &str) -> Option<&'static str> {
    match name {
        "now"
        | "current_timestamp"
        | "clock_timestamp"
        | "statement_timestamp"
        | "transaction_timestamp"
        | "sysdate"
        | "getdate"
        | "utc_timestamp"
        | "localtimestamp"
        | "current_datetime" => {
            Some("use `_timestamp`, the record's own time: it stays the same when the record is read again")
        }
        "current_date" | "today" | "curdate" => Some("use CAST(_timestamp AS date), the record's own date"),
        "current_time" | "localtime" | "curtime" => Some("use CAST(_timestamp AS time), the record's own time"),
        "random" | "rand" | "uuid" | "gen_random_uuid" | "newid" | "nextval" => Some(
            "derive it from the record: md5(concat(_topic, '/', _partition, '/', _offset)) is unique and stays the same",
        ),
        "current_user" | "session_user" | "user" | "current_schema" | "current_catalog" | "current_database"
        | "version" => Some("write the value itself"),
        _ => None,
    }
}

/// Is its result another each time, by intent?
pub fn varies(name: &str) -> bool {
    name == "encrypt"
}

pub fn is_aggregate(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "any_value",
        "array_agg",
        "avg",
        "bit_and",
        "bit_or",
        "bit_xor",
        "bool_and",
        "bool_or",
        "corr",
        "count",
        "count_if",
        "every",
        "first",
        "first_value",
        "group_concat",
        "json_agg",
        "jsonb_agg",
        "json_merge",
        "json_object_agg",
        "last",
        "last_value",
        "listagg",
        "max",
        "mean",
        "median",
        "min",
        "mode",
        "percentile_cont",
        "percentile_disc",
        "string_agg",
        "sum",
    ];
    const STARTS: &[&str] = &["approx_", "covar_", "regr_", "stddev", "var_", "variance"];
    NAMES.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

pub fn is_window(name: &str) -> bool {
    const NAMES: &[&str] =
        &["cume_dist", "dense_rank", "lag", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number"];
    NAMES.contains(&name)
}

/// Functions that are meant when another is written.
pub fn other_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "to_timestamp" => {
            "write CAST(x AS timestamptz) for text, to_timestamp_seconds, to_timestamp_millis or to_timestamp_micros for \
             numbers"
        }
        "ifnull" | "isnull" => "use coalesce(x, y)",
        "iif" | "if" | "decode_case" => "use CASE WHEN condition THEN x ELSE y END",
        "len" => "use length(x)",
        "ucase" => "use upper(x)",
        "lcase" => "use lower(x)",
        "charindex" | "instr" | "locate" => "use strpos(text, part)",
        "json_extract" | "jsonb_extract_path" | "get_json_object" | "json_extract_scalar" => {
            "use x -> 'field', x ->> 'field' or json_value(x, '$.path')"
        }
        "date_format" | "strftime" | "format_timestamp" => "use to_char(x, '%Y-%m-%d')",
        "datediff" | "timestampdiff" => "subtract the times: a - b",
        "dateadd" | "date_add" => "add an interval: x + interval '1 day'",
        "tumble" | "tumbling" | "time_bucket" => "use date_bin(interval '1 minute', x)",
        "generate_series" | "range" => "UNNEST takes lists of the record; generated ones would grow without a bound",
        _ => return None,
    })
}
