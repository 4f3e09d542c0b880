//! The columns of lookups for which the file names none: those of their tables.

use crate::config::{Lookup, LookupColumn, Pipeline, Problem, Problems, Rule, is_key_type};
use crate::write::error::WriteError;
use crate::write::{self, LookupTables};

/// Fills in the columns of lookups that name none, as the database has them. Asks it only where there are such.
///
/// # Errors
/// The database does not answer. Inside: what is wrong with the tables.
pub async fn complete(pipeline: &mut Pipeline) -> Result<Result<(), Problems>, WriteError> {
    if !is_incomplete(pipeline) {
        return Ok(Ok(()));
    }
    let Some(sink) = pipeline.sink.database() else { return Ok(Ok(())) };
    let tables: LookupTables = write::open(pipeline, sink, vec![None; pipeline.tables.len()]).lookup_tables().await?;
    let mut problems = Problems::new();
    for (lookup, table) in pipeline.lookups.iter_mut().zip(tables) {
        if lookup.columns.is_some() {
            continue;
        }
        let columns = table.as_ref().map(|table| {
            let typed = table.columns.iter().filter_map(|column| Some((column.name.clone(), column.ty.clone()?)));
            typed.map(|(name, ty)| LookupColumn { name, ty }).collect::<Vec<_>>()
        });
        let Some(columns) = columns else {
            let what = format!("lookup {}: there is no table {}", lookup.name, lookup.table().unwrap_or_default());
            problems.push(Problem::new(&lookup.place, Rule::Value, what, "create it, or correct `table`"));
            continue;
        };
        check_key(lookup, &columns, &mut problems);
        lookup.columns = Some(columns);
    }
    Ok(problems.check())
}

/// Has a lookup columns that only the database knows?
pub fn is_incomplete(pipeline: &Pipeline) -> bool {
    pipeline.lookups.iter().any(|lookup| lookup.columns.is_none())
}

/// Where no database is asked.
pub fn refuse_incomplete(pipeline: &Pipeline, problems: &mut Problems) {
    for lookup in pipeline.lookups.iter().filter(|lookup| lookup.columns.is_none()) {
        let what = format!("lookup {}: its columns are those of the table, and no database was asked", lookup.name);
        let key = &lookup.key[0];
        let cure = format!("name those that SQL uses, with their types: columns = {{ {key} = \"bigint\", .. }}");
        problems.push(Problem::new(&lookup.place, Rule::Missing, what, cure));
    }
}

fn check_key(lookup: &Lookup, columns: &[LookupColumn], problems: &mut Problems) {
    for name in &lookup.key {
        let what = match columns.iter().find(|column| column.name == *name) {
            None => format!("lookup {}: its table has no column {name}, which `key` names", lookup.name),
            Some(column) if !is_key_type(&column.ty) => {
                format!("lookup {}: key column {name} is {}, by which no row is found", lookup.name, column.ty)
            }
            Some(_) => continue,
        };
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let problem = Problem::new(&lookup.place, Rule::Value, what, "correct `key`");
        problems.push(problem.allowed(names.join(", ")));
    }
}
