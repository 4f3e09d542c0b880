//! The statements of `mode = "merge"`: what a partial row and the stored one become together.

use crate::types::ColumnType;
use crate::write::plan::{Merge, TablePlan};

use super::statements::{key_equals, key_names, qualified, quote, unnest};
use super::wire::Parameter;

/// The end of the insert of partial rows. Every assignment sees the stored row as it was.
pub(super) fn on_conflict(plan: &TablePlan, columns: &[usize]) -> String {
    let assignments = assignments(plan, columns);
    if assignments.is_empty() {
        return format!("\nON CONFLICT ({}) DO NOTHING", key_names(plan));
    }
    format!("\nON CONFLICT ({}) DO UPDATE SET {}", key_names(plan), assignments.join(", "))
}

pub(super) fn assignments(plan: &TablePlan, columns: &[usize]) -> Vec<String> {
    let assignment = |&column: &usize| {
        let name = quote(&plan.columns[column].column.name);
        let value = match plan.merge(column)? {
            Merge::Sum => format!("coalesce(t.{name} + EXCLUDED.{name}, t.{name}, EXCLUDED.{name})"),
            Merge::BitOr => format!("coalesce(t.{name} | EXCLUDED.{name}, t.{name}, EXCLUDED.{name})"),
            // Both pass over nulls.
            Merge::Min => format!("least(t.{name}, EXCLUDED.{name})"),
            Merge::Max => format!("greatest(t.{name}, EXCLUDED.{name})"),
            Merge::JsonMerge => return None,
            Merge::First { .. } | Merge::Last { .. } | Merge::Order { .. } => {
                format!("CASE WHEN {} THEN EXCLUDED.{name} ELSE t.{name} END", wins(plan, column)?)
            }
        };
        Some(format!("{name} = {value}"))
    };
    columns.iter().filter_map(assignment).collect()
}

/// Is the partial row's first or last value, and its order, the one to keep?
fn wins(plan: &TablePlan, column: usize) -> Option<String> {
    let by = plan.order_of(column)?;
    let Merge::Order { lead, last } = plan.merge(by)? else { return None };
    let (lead, by) = (quote(&plan.columns[lead].column.name), quote(&plan.columns[by].column.name));
    Some(if last {
        format!("EXCLUDED.{lead} IS NOT NULL AND (t.{lead} IS NULL OR t.{by} IS NULL OR EXCLUDED.{by} >= t.{by})")
    } else {
        format!(
            "EXCLUDED.{lead} IS NOT NULL AND (t.{lead} IS NULL OR EXCLUDED.{by} < t.{by} \
             OR (t.{by} IS NULL AND EXCLUDED.{by} IS NOT NULL))"
        )
    })
}

/// Applies RFC 7396 patches to the rows of the keys in `columns`, which are locked by their put.
pub(super) fn patch(plan: &TablePlan, columns: &[usize], parameters: &[Parameter]) -> String {
    let documents = columns.iter().enumerate().filter(|(_, column)| !plan.is_key(**column));
    let assignments: Vec<String> = documents
        .map(|(index, &column)| {
            let column = &plan.columns[column].column;
            let name = quote(&column.name);
            let (to_jsonb, back) = match &column.ty {
                Some(ColumnType::Json) if parameters[index].name == "jsonb" => ("", String::new()),
                Some(ColumnType::Json) => ("::jsonb", "::json".to_owned()),
                _ => {
                    ("::jsonb", parameters[index].cast.as_ref().map_or("::text".to_owned(), |cast| format!("::{cast}")))
                }
            };
            let merged = json_merge_patch(&format!("t.{name}{to_jsonb}"), &format!("u.c{index}{to_jsonb}"));
            format!("{name} = CASE WHEN u.c{index} IS NULL THEN t.{name} ELSE {merged}{back} END")
        })
        .collect();
    format!(
        "UPDATE {} AS t SET {}\nFROM {}\nWHERE {}",
        qualified(&plan.table),
        assignments.join(", "),
        unnest(parameters),
        key_equals(plan, columns, parameters)
    )
}

/// RFC 7396 in an expression. The patch is taken apart into its members, each with its path, those further out first;
/// then each is done to the document in turn: an object makes room for its members, a null removes, anything else sets.
fn json_merge_patch(target: &str, patch: &str) -> String {
    format!(
        "(WITH RECURSIVE members(path, value) AS (\
         SELECT '{{}}'::text[], {patch} \
         UNION ALL SELECT m.path || e.key, e.value FROM members AS m, \
         jsonb_each(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value ELSE '{{}}' END) AS e), \
         numbered AS (SELECT path, value, row_number() OVER (ORDER BY cardinality(path)) AS number FROM members), \
         steps(number, document) AS (\
         SELECT 0::bigint, {target} \
         UNION ALL SELECT n.number, CASE \
         WHEN jsonb_typeof(n.value) <> 'object' AND cardinality(n.path) = 0 THEN n.value \
         WHEN jsonb_typeof(n.value) = 'null' THEN s.document #- n.path \
         WHEN jsonb_typeof(n.value) <> 'object' THEN jsonb_set(s.document, n.path, n.value) \
         WHEN jsonb_typeof(s.document #> n.path) = 'object' THEN s.document \
         WHEN cardinality(n.path) = 0 THEN '{{}}' \
         ELSE jsonb_set(s.document, n.path, '{{}}') END \
         FROM steps AS s JOIN numbered AS n ON n.number = s.number + 1) \
         SELECT document FROM steps ORDER BY number DESC LIMIT 1)"
    )
}

#[cfg(test)]
mod tests {
    use super::super::statements;
    use super::*;
    use crate::config::{Missing, Mode};
    use crate::write::catalog::{CatalogColumn, CatalogTable};
    use crate::write::plan::{DeletePlan, PlanColumn};

    fn column(name: &str, ty: ColumnType, oid: u32, native: &str) -> CatalogColumn {
        let (name, native) = (name.to_owned(), native.to_owned());
        CatalogColumn { name, ty: Some(ty), native, oid, nullable: true, has_default: false, generated: false }
    }

    fn plan() -> TablePlan {
        let columns = vec![
            column("minute", ColumnType::TimestampTz, 1184, "timestamp with time zone"),
            column("sku", ColumnType::Text, 1042, "character(3)"),
            column("sum\"s", ColumnType::Int64, 20, "bigint"),
            column("low", ColumnType::Numeric, 1700, "numeric"),
            column("high", ColumnType::Numeric, 1700, "numeric"),
            column("bits", ColumnType::Int32, 23, "integer"),
            column("city", ColumnType::Text, 25, "text"),
            column("at", ColumnType::TimestampTz, 1184, "timestamp with time zone"),
            column("shop", ColumnType::Text, 25, "text"),
            column("no", ColumnType::Int32, 23, "integer"),
            column("doc", ColumnType::Json, 3802, "jsonb"),
            column("plain", ColumnType::Json, 114, "json"),
            column("text", ColumnType::Text, 25, "text"),
        ];
        let table = CatalogTable {
            schema: Some("shop".into()),
            name: "rollup".into(),
            columns: columns.clone(),
            unique: Vec::new(),
            unusable_unique: Vec::new(),
        };
        let columns = columns.into_iter().enumerate().map(|(input, column)| PlanColumn { column, input }).collect();
        let merge = [
            &[None, None][..],
            &[Merge::Sum, Merge::Min, Merge::Max, Merge::BitOr].map(Some),
            &[Merge::Last { by: 7 }, Merge::Order { lead: 6, last: true }].map(Some),
            &[Merge::First { by: 9 }, Merge::Order { lead: 8, last: false }].map(Some),
            &[Merge::JsonMerge; 3].map(Some),
        ];
        TablePlan {
            table,
            mode: Mode::Merge,
            columns,
            key: vec![0, 1],
            deletes: DeletePlan::Ignore,
            version: None,
            missing: Missing::Null,
            replace: None,
            retention: None,
            merge: merge.concat(),
        }
    }

    fn parameters(plan: &TablePlan, columns: &[usize]) -> Vec<Parameter> {
        columns.iter().map(|&column| Parameter::of(&plan.columns[column].column).unwrap()).collect()
    }

    #[test]
    fn partial_rows_are_added() {
        let plan = plan();
        let columns: Vec<usize> = (0..10).collect();
        insta::assert_snapshot!(statements::put(&plan, &columns, &parameters(&plan, &columns)));
    }

    #[test]
    fn documents_only_make_room() {
        let plan = plan();
        insta::assert_snapshot!(statements::put(&plan, &[0, 1, 10], &parameters(&plan, &[0, 1, 10])));
        assert!(statements::leaves_stored_row(&plan, &[0, 1, 10]));
    }

    #[test]
    fn documents_are_patched() {
        let plan = plan();
        insta::assert_snapshot!(patch(&plan, &[0, 1, 10, 11, 12], &parameters(&plan, &[0, 1, 10, 11, 12])));
    }
}
