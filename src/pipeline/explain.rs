//! The stages between the inbox and the database, as they run.

use serde::Serialize;

use crate::config::{Pipeline, Table, Topic};
use crate::transform::{Explained, Transform};

use super::stages::Stages;
use super::steps;

/// What is done to each batch.
#[derive(Debug, Serialize)]
pub struct ExplainedStages {
    /// The fields that are decoded, each with its type and its place; all others are passed over.
    pub decodes: Vec<String>,
    pub checks: Vec<ExplainedStatement>,
    pub tables: Vec<ExplainedStatement>,
    pub topics: Vec<ExplainedStatement>,
}

/// One check, table or topic.
#[derive(Debug, Serialize)]
pub struct ExplainedStatement {
    pub name: String,
    /// `None` without SQL.
    pub plan: Option<Explained>,
}

impl Stages {
    /// `pipeline`: the one that they were compiled from.
    pub fn explain(&self, pipeline: &Pipeline) -> ExplainedStages {
        let statement = |name: &str, plan| ExplainedStatement { name: name.to_owned(), plan };
        let following = |is_table: bool, index: usize| {
            self.followed.iter().find_map(|followed| followed.following(is_table, index)).map(Transform::explain)
        };
        let table = |(index, (table, transform)): (usize, (&Table, &Option<Transform>))| {
            let plan = transform.as_ref().map(Transform::explain);
            statement(&table.name, plan.or_else(|| following(true, index)))
        };
        let topic = |(index, (topic, transform)): (usize, (&Topic, &Option<Transform>))| {
            let plan = transform.as_ref().map(Transform::explain);
            statement(&topic.name, plan.or_else(|| following(false, index)))
        };
        ExplainedStages {
            decodes: self.input.columns.iter().map(steps::shown).collect(),
            checks: self.checks.explain().map(|(name, plan)| statement(name, Some(plan))).collect(),
            tables: pipeline.tables.iter().zip(&self.transforms).enumerate().map(table).collect(),
            topics: pipeline.topics.iter().zip(&self.topics).enumerate().map(topic).collect(),
        }
    }
}
