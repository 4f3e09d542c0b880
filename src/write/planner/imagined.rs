//! A merge table as the file alone says it: what `tidegate test` adds up in.

use crate::config::{MergeFunction, Table};
use crate::rows::{InputColumn, OutputColumn};
use crate::types::ColumnType;
use crate::write::catalog::{CatalogColumn, CatalogTable, UniqueIndex};
use crate::write::plan::TablePlan;

use super::{Request, plan};

/// The plan of the table as if the database had it with the columns and types that its statement gives (`outputs`), or,
/// where it has none, with those of `columns` that it merges. A [`PlanColumn::input`](crate::write::plan::PlanColumn)
/// is an index into either.
///
/// # Errors
/// Every problem, as a sentence with its cure.
pub fn imagined(
    table: &Table,
    outputs: Option<&[OutputColumn]>,
    columns: &[InputColumn],
) -> Result<TablePlan, Vec<String>> {
    if table.key.is_empty() {
        return Err(vec![format!(
            "table {}: what follows it by `from` needs its key, and no database is asked for it here: write `key` under \
             its [[table]]",
            table.name
        )]);
    }
    let is_merged = |name: &String| {
        let orders = |function: &MergeFunction| match function {
            MergeFunction::First { by } | MergeFunction::Last { by } => by == name,
            _ => false,
        };
        table.key.contains(name) || table.merge.iter().any(|merged| merged.column == *name || orders(&merged.function))
    };
    // Where each is in what was given.
    let mut places = Vec::new();
    let mut given: Vec<OutputColumn> = Vec::new();
    let mut add = |place: usize, name: &String, ty: &ColumnType| {
        places.push(place);
        given.push(OutputColumn { name: name.clone(), ty: ty.clone(), nullable: true, passes: None });
    };
    match outputs {
        Some(outputs) => outputs.iter().enumerate().for_each(|(place, output)| add(place, &output.name, &output.ty)),
        None => {
            let merged = columns.iter().enumerate().filter(|(_, column)| is_merged(&column.name));
            merged.for_each(|(place, column)| add(place, &column.name, &column.ty));
        }
    }
    let column = |output: &OutputColumn| CatalogColumn {
        name: output.name.clone(),
        ty: Some(output.ty.clone()),
        native: output.ty.to_string(),
        // Of no type that a database has a rule of its own for.
        oid: 1,
        nullable: true,
        has_default: false,
        generated: false,
    };
    let key = table.key.iter().filter_map(|name| given.iter().position(|output| output.name == *name)).collect();
    let catalog = CatalogTable {
        schema: Some(String::new()),
        name: table.name.clone(),
        columns: given.iter().map(column).collect(),
        unique: vec![UniqueIndex { name: "key".to_owned(), primary: true, columns: key }],
        unusable_unique: Vec::new(),
    };
    let planned = plan(Request {
        tables: std::slice::from_ref(table),
        catalog: &[Some(catalog)],
        queries: &[Some(given)],
        columns: &[],
        timezone: None,
        other_readers: true,
    })?;
    let mut plan = planned.tables.into_iter().next().ok_or_else(Vec::new)?;
    plan.table.schema = None;
    plan.columns.iter_mut().for_each(|column| column.input = places[column.input]);
    Ok(plan)
}
