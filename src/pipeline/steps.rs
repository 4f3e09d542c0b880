//! How a table's column comes about, in words.

use crate::config::Pipeline;
use crate::rows::{ColumnSource, InputColumn};
use crate::transform::PlanStep;
use crate::types::ColumnType;

/// A column that a table is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Each input with its type and where it comes from.
    pub inputs: Vec<String>,
    /// As the statement writes it; `None`: the input as it is.
    pub sql: Option<String>,
    pub name: String,
    pub ty: ColumnType,
}

impl Step {
    /// An output of a statement.
    pub fn of(step: &PlanStep<'_>) -> Self {
        Self {
            inputs: step.inputs.iter().map(|input| shown(input)).collect(),
            sql: Some(step.text.to_owned()),
            name: step.column.name.clone(),
            ty: step.column.ty.clone(),
        }
    }

    /// An output of a statement over the merged rows of a table.
    pub fn of_merged(step: &PlanStep<'_>, table: &str) -> Self {
        let inputs = step.inputs.iter().map(|input| format!("{} {} ({table})", input.name, input.ty)).collect();
        Self { inputs, ..Self::of(step) }
    }

    /// A field that goes to its column without SQL.
    pub fn of_input(input: &InputColumn) -> Self {
        Self { inputs: vec![shown(input)], sql: None, name: input.name.clone(), ty: input.ty.clone() }
    }

    /// What the file alone says of a table without SQL.
    pub fn declared(pipeline: &Pipeline) -> Vec<Self> {
        let typed = pipeline.source.columns.iter().filter_map(|column| Some(column.input(column.ty.clone()?)));
        typed.map(|input| Self::of_input(&input)).collect()
    }
}

/// `quantity int ($.quantity)`
pub(super) fn shown(input: &InputColumn) -> String {
    let path = |names: &[String]| names.iter().fold("$".to_owned(), |path, name| format!("{path}.{name}"));
    let from = match &input.source {
        ColumnSource::Value(names) => path(names),
        ColumnSource::Key(names) => format!("key {}", path(names)),
        ColumnSource::Header(name) => format!("header {name}"),
        ColumnSource::Topic => "topic".to_owned(),
        ColumnSource::Partition => "partition".to_owned(),
        ColumnSource::Offset => "offset".to_owned(),
        ColumnSource::Timestamp => "timestamp".to_owned(),
        ColumnSource::Lookup { lookup, column } => {
            let name = column.as_deref().unwrap_or("is there");
            return format!("{lookup}.{name} {} (lookup)", input.ty);
        }
    };
    format!("{} {} ({from})", input.name, input.ty)
}
