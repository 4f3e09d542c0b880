//! The rows of a section whose table's name comes from the topic or a column: to each table its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, StringArray};
use arrow_schema::DataType;

use crate::config::{Deletes, NamePart, Pipeline, Problem, Problems, Route, Rule, Table};
use crate::dead_letter::{Fault, Stage};
use crate::records::Records;
use crate::rows::{InputColumn, InputSchema, Operation, Rows};
use crate::transform::Plan;
use crate::types::ColumnType;

/// The rows of one of the tables.
#[derive(Debug, Clone)]
pub struct Routed {
    /// Without its schema.
    pub name: Arc<str>,
    pub rows: Arc<Rows>,
}

/// How one section names its tables.
pub struct Naming {
    template: String,
    route: Route,
    /// Per column of the name: its index in the rows.
    columns: Vec<usize>,
    ignores_deletes: bool,
}

/// Finds the columns of the tables' names in the statements, and in [source.columns] where there is none.
pub fn planned(pipeline: &Pipeline, plans: Vec<Option<Plan>>, problems: &mut Problems) -> Vec<Option<Plan>> {
    let mut sections = pipeline.tables.iter();
    plans.into_iter().map(|plan| in_section(pipeline, sections.next()?, plan, problems)).collect()
}

fn in_section(pipeline: &Pipeline, table: &Table, plan: Option<Plan>, problems: &mut Problems) -> Option<Plan> {
    let Some(route) = &table.route else { return plan };
    let mut tell = |what: String, cure: String| {
        problems.push(Problem::new(&route.place, Rule::Value, format!("table {}: {what}", table.name), cure));
    };
    if table.sql.is_none() {
        for name in route.columns() {
            let declared = pipeline.source.columns.iter().find(|column| column.name == name);
            match declared.and_then(|column| column.ty.as_ref()) {
                Some(ty) if is_nameable(ty) => {}
                Some(ty) => tell(
                    format!("the column {name} is of type {ty}, which is no part of a name"),
                    "take a text or a whole number".to_owned(),
                ),
                None => tell(
                    format!("its name needs the column {name}, which is not declared"),
                    format!("write {name} = \"text\" in [source.columns]"),
                ),
            }
        }
        return None;
    }
    // What is wrong with the statement was told.
    let plan = plan?;
    let mut names = Vec::new();
    for name in route.columns() {
        let Some(index) = plan.output(name) else {
            let given: Vec<&str> = plan.outputs().iter().map(|output| output.name.as_str()).collect();
            let cure = format!("add it to the SELECT, or name one of its columns: {}", given.join(", "));
            tell(format!("its name needs a column {name}, which `sql` does not give"), cure);
            continue;
        };
        let ty = &plan.outputs()[index].ty;
        if !is_nameable(ty) {
            let cure = format!("write CAST({name} AS text) AS {name}");
            tell(format!("the column {name} is of type {ty}, which is no part of a name"), cure);
        } else if !plan.replace().is_empty() && !plan.is_of_record(index) {
            let cure = "take it from a column of the record itself".to_owned();
            tell(format!("with `replace` the column {name} of its name must not come of UNNEST"), cure);
        }
        names.push(index);
    }
    Some(plan.named_by(names))
}

/// The input that the names of tables without SQL need. A delete has it from the record's key.
pub fn add_inputs(pipeline: &Pipeline, columns: &mut Vec<InputColumn>) {
    for table in pipeline.tables.iter().filter(|table| table.sql.is_none()) {
        let is_key = table.deletes != Deletes::Ignore;
        for name in table.route.iter().flat_map(Route::columns) {
            if let Some(known) = columns.iter_mut().find(|column| column.name == name) {
                known.key |= is_key;
                continue;
            }
            let declared = pipeline.source.columns.iter().find(|column| column.name == name);
            let input = declared.and_then(|column| Some(column.input(column.ty.clone()?)));
            columns.extend(input.map(|column| InputColumn { key: is_key, ..column }));
        }
    }
}

/// How each section names its tables.
///
/// # Errors
/// Every name that cannot be made, as a sentence.
pub fn namings(
    pipeline: &Pipeline,
    plans: &[Option<Plan>],
    input: &InputSchema,
) -> Result<Vec<Option<Naming>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut naming = |(table, plan): (&Table, &Option<Plan>)| {
        let route = table.route.as_ref()?;
        if let Some(plan) = plan {
            return Some(Naming::new(table, route, plan.names().to_vec()));
        }
        let mut places = Vec::new();
        for name in route.columns() {
            match input.columns.iter().position(|column| column.name == name) {
                Some(place) if is_nameable(&input.columns[place].ty) => places.push(place),
                // It was declared otherwise, and a table has a column of that name.
                _ => problems.push(format!(
                    "table {}: the column {name} is no text and no whole number in its tables, so it is no part of \
                     their name: write `sql` with CAST({name} AS text) AS another name",
                    table.name
                )),
            }
        }
        Some(Naming::new(table, route, places))
    };
    let namings = pipeline.tables.iter().zip(plans).map(&mut naming).collect();
    if problems.is_empty() { Ok(namings) } else { Err(problems) }
}

/// Can values of this type be a part of a name?
fn is_nameable(ty: &ColumnType) -> bool {
    ty.is_integer() || matches!(ty, ColumnType::Text | ColumnType::Enum)
}

impl Naming {
    /// `columns`: where the rows have the columns of the name, in its order.
    pub fn new(table: &Table, route: &Route, columns: Vec<usize>) -> Self {
        let ignores_deletes = table.deletes == Deletes::Ignore;
        Self { template: table.name.clone(), route: route.clone(), columns, ignores_deletes }
    }

    /// The rows by their table, in the order of the names, and how many deletes nobody wants. Rows without a table are
    /// in none, and their records in `bad`.
    pub fn split(&self, rows: &Arc<Rows>, records: &Records, bad: &mut BTreeMap<u32, Fault>) -> (Vec<Routed>, u64) {
        let texts: Vec<StringArray> = self.columns.iter().map(|column| texts(rows, *column)).collect();
        let mut places: HashMap<String, Option<usize>> = HashMap::new();
        let mut found: Vec<(Arc<str>, Vec<u32>)> = Vec::new();
        let mut name = String::new();
        let mut ignored = 0;
        for row in 0..rows.len() {
            if self.ignores_deletes && rows.operations[row] == Operation::Delete {
                ignored += 1;
                continue;
            }
            let origin = rows.origins[row];
            if let Err(column) = self.name(row, records.get(origin as usize).topic(), &texts, &mut name) {
                bad.entry(origin).or_insert_with(|| self.without_name(column));
                continue;
            }
            let place = match places.get(&name) {
                Some(place) => *place,
                None => {
                    let place = self.route.admits(&name).then_some(found.len());
                    found.extend(place.map(|_| (Arc::from(name.as_str()), Vec::new())));
                    places.insert(name.clone(), place);
                    place
                }
            };
            match place {
                Some(place) => found[place].1.push(row as u32),
                None => drop(bad.entry(origin).or_insert_with(|| self.not_allowed())),
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let routed = found.into_iter().map(|(name, picked)| {
            let rows = if picked.len() == rows.len() { rows.clone() } else { Arc::new(rows.pick(&picked)) };
            Routed { name, rows }
        });
        (routed.collect(), ignored)
    }

    /// The name of a row's table, or the column that is null.
    fn name(&self, row: usize, topic: &str, texts: &[StringArray], name: &mut String) -> Result<(), &str> {
        name.clear();
        let mut columns = texts.iter();
        for part in &self.route.parts {
            match part {
                NamePart::Text(text) => name.push_str(text),
                NamePart::Topic => name.push_str(&Route::of_topic(topic)),
                NamePart::Column(column) => match columns.next().filter(|texts| texts.is_valid(row)) {
                    Some(texts) => name.push_str(texts.value(row)),
                    None => return Err(column),
                },
            }
        }
        Ok(())
    }

    fn without_name(&self, column: &str) -> Fault {
        let reason = format!("{column} is null, so {} names no table for the record", self.template);
        Fault { column: Some(column.to_owned()), ..self.fault(reason) }
    }

    fn not_allowed(&self) -> Fault {
        self.fault(format!("{} gives a name for the record's table that `tables` does not allow", self.template))
    }

    fn fault(&self, reason: String) -> Fault {
        Fault { stage: Stage::Transform, class: "table-name", code: String::new(), reason, column: None }
    }
}

fn texts(rows: &Rows, column: usize) -> StringArray {
    let column = rows.batch.column(column);
    // Texts and whole numbers alone are let in, and all of them have a text.
    let texts = arrow_cast::cast(column, &DataType::Utf8).expect("names are made of texts and whole numbers");
    texts.as_string::<i32>().clone()
}
