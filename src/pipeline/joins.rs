//! The lookups that the statements of a pipeline join: equal ones by equal keys are one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Pipeline;
use crate::rows::InputSchema;
use crate::transform::{Join, JoinPlan, Plan};

/// In an order in which each needs only those before it.
#[derive(Default)]
pub struct Joins(Vec<JoinPlan>);

/// Per `[[lookup]]` the columns that are read, and the joins as they run.
type Compiled = (Vec<BTreeSet<usize>>, Vec<Join>);

impl Joins {
    pub fn add(&mut self, statement: &Plan) {
        for join in statement.joins() {
            match self.0.iter_mut().find(|known| known.id == join.id) {
                Some(known) => known.merge(&join),
                None => self.0.push(join),
            }
        }
    }

    /// What their keys read.
    pub fn keys(&self) -> impl Iterator<Item = &Plan> {
        self.0.iter().map(JoinPlan::key)
    }

    /// The decoder's columns, then those of the lookups.
    pub fn schema(&self, decoded: &Arc<InputSchema>) -> Arc<InputSchema> {
        if self.0.is_empty() {
            return decoded.clone();
        }
        let joined = self.0.iter().flat_map(|join| &join.columns);
        InputSchema::new(decoded.columns.iter().chain(joined).cloned().collect(), decoded.timezone.clone())
    }

    /// # Errors
    /// Keys that never equal the lookup's, as sentences.
    pub fn compile(&self, pipeline: &Pipeline, input: &InputSchema) -> Result<Compiled, Vec<String>> {
        let mut used = vec![BTreeSet::new(); pipeline.lookups.len()];
        let mut joins = Vec::with_capacity(self.0.len());
        let mut problems = Vec::new();
        for join in &self.0 {
            let lookup = &pipeline.lookups[join.lookup];
            used[join.lookup].extend(join.used(lookup));
            match join.compile(input, lookup) {
                Ok(join) => joins.push(join),
                Err(mistakes) => problems.extend(
                    mistakes
                        .into_iter()
                        .map(|mistake| format!("JOIN {}: {}; {}", lookup.name, mistake.message, mistake.cure)),
                ),
            }
        }
        if problems.is_empty() { Ok((used, joins)) } else { Err(problems) }
    }
}
