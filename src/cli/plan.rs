//! `tidegate plan`

use std::path::PathBuf;

use crate::config::{self, Mode, Pipeline, Target, Topic, TopicDeletes};
use crate::pipeline::{Queries, Step};
use crate::types::ColumnType;
use crate::write::plan::{DeletePlan, TablePlan};
use crate::write::{self, Prepared, Preview};

use super::watch::Watch;
use super::{CONFIGURATION_WRONG, Context, Stop, runtime};

/// Show how each column of each table is filled, with types and what may be lost; changes nothing
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// The pipeline file
    file: PathBuf,
    /// How to print the plan
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A pipeline's plan.
#[derive(Debug, serde::Serialize)]
struct Planned {
    pipeline: String,
    tables: Vec<PlannedTable>,
    topics: Vec<PlannedTopic>,
    /// Why the tables' side is missing.
    unreachable: Option<String>,
    warnings: Vec<String>,
    problems: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct PlannedTable {
    table: String,
    /// The other tables of the section, which are filled alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alike: Vec<String>,
    mode: &'static str,
    /// Empty: none, or not known without the database.
    key: Vec<String>,
    deletes: Option<String>,
    /// The columns whose stored rows a record's rows replace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replace: Vec<String>,
    columns: Vec<PlannedColumn>,
    /// The table's columns that nothing fills, each with what it gets.
    unfilled: Vec<Unfilled>,
    /// What creates the table where it is not there; `None`: it is there, or nothing says which columns it has.
    ddl: Option<String>,
    /// Is that statement run at start?
    create: bool,
    /// What writes the table.
    statements: Vec<String>,
}

#[derive(Debug, serde::Serialize)]
struct PlannedTopic {
    topic: String,
    /// Empty: none.
    key: Vec<String>,
    deletes: &'static str,
    columns: Vec<PlannedColumn>,
}

/// One column on its way.
#[derive(Debug, serde::Serialize)]
struct PlannedColumn {
    /// `quantity int ($.quantity)`
    inputs: Vec<String>,
    /// `None`: the field as it is.
    sql: Option<String>,
    result: String,
    /// `None`: the database was not asked.
    column: Option<String>,
    native: Option<String>,
    /// What of the result the column cannot hold.
    loss: Option<String>,
}

#[derive(Debug, serde::Serialize)]
struct Unfilled {
    column: String,
    native: String,
    gets: &'static str,
}

impl Plan {
    pub fn execute(self, context: &Context) -> Result<u8, Stop> {
        let (watch, files) = (self.watch, vec![self.file.clone()]);
        watch.run(files, context, move |context| self.once(context))
    }

    fn once(&self, context: &Context) -> Result<u8, Stop> {
        let mut pipelines = config::load_pipelines(std::slice::from_ref(&self.file), &context.environment)?;
        let runtime = runtime()?;
        let mut plans = Vec::with_capacity(pipelines.len());
        for pipeline in &mut pipelines {
            super::complete(&runtime, pipeline)?;
            let queries = Queries::plan(pipeline)?;
            plans.push(runtime.block_on(planned(pipeline, &queries)));
        }
        runtime.shutdown_background();
        match self.output {
            Output::Json => println!("{}", serde_json::to_string_pretty(&plans).expect("strings only")),
            Output::Text => plans.iter().for_each(Planned::print),
        }
        Ok(if plans.iter().all(|plan| plan.problems.is_empty()) { 0 } else { CONFIGURATION_WRONG })
    }
}

async fn planned(pipeline: &Pipeline, queries: &Queries) -> Planned {
    let mut plan = Planned {
        pipeline: pipeline.name.clone(),
        tables: Vec::new(),
        topics: pipeline.topics.iter().zip(queries.topic_steps()).map(planned_topic).collect(),
        unreachable: None,
        warnings: Vec::new(),
        problems: Vec::new(),
    };
    let steps = queries.steps(pipeline);
    let outputs = queries.outputs();
    let Target::Database(sink) = &pipeline.sink else {
        plan.problems = queries.compile_alone(pipeline).err().unwrap_or_default();
        return plan;
    };
    let preview = match write::open(pipeline, sink, outputs.clone()).preview().await {
        Ok(Ok(preview)) => {
            plan.problems.extend(queries.compile(pipeline, &preview.prepared).err().unwrap_or_default());
            plan.warnings.clone_from(&preview.prepared.warnings);
            plan.problems.extend(absent(pipeline, &preview));
            Some(preview)
        }
        Ok(Err(problems)) => {
            plan.problems = problems;
            None
        }
        Err(error) => {
            plan.unreachable = Some(format!(
                "the database was not asked, so only the SQL's side is shown, and statements for tables as they would be \
                 created: {error}"
            ));
            None
        }
    };
    // What the file alone says; where that is not enough, the tables themselves must tell.
    let assumed = write::preview(pipeline, sink, &outputs).ok().filter(|_| preview.is_none());
    for (index, (table, steps)) in pipeline.tables.iter().zip(steps).enumerate() {
        let mut planned = match &preview {
            Some(preview) => with_table(&preview.prepared, index, steps.as_deref()),
            None => PlannedTable {
                table: table.name.clone(),
                alike: Vec::new(),
                mode: mode(table.mode),
                key: table.key.clone(),
                deletes: None,
                replace: table.replace.clone(),
                columns: steps.unwrap_or_else(|| Step::declared(pipeline)).iter().map(sql_side).collect(),
                unfilled: Vec::new(),
                ddl: None,
                create: table.create,
                statements: Vec::new(),
            },
        };
        planned.create = table.create;
        if let Some(preview) = preview.as_ref().or(assumed.as_ref()) {
            planned.ddl.clone_from(&preview.tables[index].ddl);
            planned.statements.clone_from(&preview.tables[index].statements);
        }
        plan.tables.push(planned);
    }
    plan
}

/// Tables that are not there and that nobody is told to create.
fn absent(pipeline: &Pipeline, preview: &Preview) -> Vec<String> {
    let tables = pipeline.tables.iter().zip(&preview.tables);
    tables
        .filter(|(table, preview)| preview.ddl.is_some() && !table.create)
        .map(|(table, _)| {
            format!(
                "table {}: the database has no table of that name that this user can see: run the statement above, \
                 write create = true, or correct `name`",
                table.name
            )
        })
        .collect()
}

fn planned_topic((topic, steps): (&Topic, Vec<Step>)) -> PlannedTopic {
    PlannedTopic {
        topic: topic.name.clone(),
        key: topic.key.clone(),
        deletes: match topic.deletes {
            TopicDeletes::Ignore => "ignore",
            TopicDeletes::Tombstone => "tombstone",
        },
        columns: steps.iter().map(sql_side).collect(),
    }
}

fn sql_side(step: &Step) -> PlannedColumn {
    PlannedColumn {
        inputs: step.inputs.clone(),
        sql: step.sql.clone(),
        result: format!("{} {}", step.name, step.ty),
        column: None,
        native: None,
        loss: None,
    }
}

fn with_table(prepared: &Prepared, index: usize, steps: Option<&[Step]>) -> PlannedTable {
    let plan = &prepared.tables[index];
    let without_types = plan.table.schema.is_none();
    let columns = plan.columns.iter().map(|column| {
        let (mut side, ty) = match steps {
            Some(steps) => (sql_side(&steps[column.input]), steps[column.input].ty.clone()),
            None => {
                let input = &prepared.input.columns[column.input];
                let step = Step::of_input(input);
                (sql_side(&step), input.ty.clone())
            }
        };
        side.column = Some(column.column.name.clone());
        side.native = Some(column.column.native.clone());
        side.loss = column.column.ty.as_ref().and_then(|stored| loss(&ty, stored, without_types));
        side
    });
    let known = prepared.routes.tables(index);
    let alike = known.iter().map(|other| other.table.full_name()).filter(|name| *name != plan.table.full_name());
    PlannedTable {
        table: plan.table.full_name(),
        alike: alike.collect(),
        mode: mode(plan.mode),
        key: names(plan, &plan.key),
        deletes: Some(deletes(&plan.deletes)),
        replace: plan.replace.iter().flat_map(|replace| names(plan, &replace.columns)).collect(),
        columns: columns.collect(),
        unfilled: unfilled(plan),
        ddl: None,
        create: false,
        statements: Vec::new(),
    }
}

fn names(plan: &TablePlan, columns: &[usize]) -> Vec<String> {
    columns.iter().map(|column| plan.columns[*column].column.name.clone()).collect()
}

/// What of a result's type the column's cannot hold.
fn loss(result: &ColumnType, stored: &ColumnType, without_types: bool) -> Option<String> {
    use ColumnType::{Decimal, Float32, Float64, Timestamp, TimestampTz};
    match (result, stored) {
        (TimestampTz, Timestamp) => Some("its zone: stored as the time in UTC".to_owned()),
        (Float64, Float32) | (Decimal { .. }, Float32 | Float64) => Some("digits: rounded to the nearest".to_owned()),
        _ if write::holds_every_value(result, stored, without_types) => None,
        (from, Float32 | Float64) if from.is_integer() => Some("digits: rounded to the nearest".to_owned()),
        _ => Some("none, but what does not fit is a bad record".to_owned()),
    }
}

/// The table's columns that no record fills.
fn unfilled(plan: &TablePlan) -> Vec<Unfilled> {
    let is_filled = |name: &str| plan.columns.iter().any(|column| column.column.name == name);
    let marks = |name: &str| matches!(&plan.deletes, DeletePlan::Soft(column) if column.name == name);
    let left = plan.table.columns.iter().filter(|column| !is_filled(&column.name));
    left.map(|column| Unfilled {
        column: column.name.clone(),
        native: column.native.clone(),
        gets: match column {
            column if marks(&column.name) => "the mark of deleted rows",
            column if column.generated => "what the database computes",
            column if column.has_default => "its default",
            _ => "NULL",
        },
    })
    .collect()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Append => "append",
        Mode::InsertIgnore => "insert-ignore",
        Mode::Upsert => "upsert",
        Mode::Update => "update",
        Mode::Merge => "merge",
    }
}

fn deletes(plan: &DeletePlan) -> String {
    match plan {
        DeletePlan::Hard => "hard".to_owned(),
        DeletePlan::Soft(column) => format!("soft({})", column.name),
        DeletePlan::Ignore => "ignore".to_owned(),
    }
}

impl Planned {
    fn print(&self) {
        println!("{}", self.pipeline);
        if let Some(sentence) = &self.unreachable {
            println!("  {sentence}");
        }
        self.tables.iter().for_each(PlannedTable::print);
        self.topics.iter().for_each(PlannedTopic::print);
        for (mark, lines) in [("warning", &self.warnings), ("problem", &self.problems)] {
            for line in lines {
                println!("  {mark:<8} {line}");
            }
        }
    }
}

impl PlannedTable {
    fn print(&self) {
        let key = if self.key.is_empty() { String::new() } else { format!(", key {}", self.key.join(", ")) };
        let deletes = self.deletes.as_ref().map(|deletes| format!(", deletes {deletes}")).unwrap_or_default();
        let replace = match self.replace.as_slice() {
            [] => String::new(),
            columns => format!(", replace {}", columns.join(", ")),
        };
        println!("\n  table {} ({}{key}{deletes}{replace})", self.table, self.mode);
        if !self.alike.is_empty() {
            println!("    and alike: {}", self.alike.join(", "));
        }
        let mut rows = vec![["input", "sql", "result", "column", "may be lost"].map(str::to_owned)];
        for column in &self.columns {
            let stored = match (&column.column, &column.native) {
                (Some(name), Some(native)) => format!("{name} {native}"),
                _ => String::new(),
            };
            rows.push([
                column.inputs.join(", "),
                column.sql.clone().unwrap_or_default(),
                column.result.clone(),
                stored,
                column.loss.clone().unwrap_or_default(),
            ]);
        }
        print_table(&rows);
        for Unfilled { column, native, gets } in &self.unfilled {
            println!("    nothing fills {column} {native}: it gets {gets}");
        }
        if let Some(ddl) = &self.ddl {
            let by = if self.create { "is created at start" } else { "is to be created by hand, or by create = true" };
            println!("\n    where it is not there, it {by}:");
            print_indented(ddl);
        }
        if !self.statements.is_empty() {
            println!("\n    it is written by:");
            self.statements.iter().for_each(|statement| print_indented(statement));
        }
    }
}

fn print_indented(text: &str) {
    text.lines().for_each(|line| println!("      {line}"));
}

impl PlannedTopic {
    fn print(&self) {
        let key = if self.key.is_empty() { "no key".to_owned() } else { format!("key {}", self.key.join(", ")) };
        println!("\n  topic {} ({key}, deletes {})", self.topic, self.deletes);
        let mut rows = vec![["input", "sql", "result"].map(str::to_owned)];
        rows.extend(
            self.columns.iter().map(|column| {
                [column.inputs.join(", "), column.sql.clone().unwrap_or_default(), column.result.clone()]
            }),
        );
        print_table(&rows);
    }
}

/// Columns as wide as their widest cell.
fn print_table<const N: usize>(rows: &[[String; N]]) {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        println!("    {}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
