//! What runs per batch, in the engine's words.

use serde::Serialize;
use tidegate_sql::Aggregate;

use super::compile::Transform;
use super::condition::CompiledCondition;

/// The physical plan of a statement, after everything that is constant was computed and every step was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The decoded columns that it reads, each with its type; `x@0` in an expression is the first of them.
    pub reads: Vec<String>,
    /// Only records of this topic.
    pub topic: Option<String>,
    /// WHERE.
    pub filter: Option<String>,
    /// Per UNNEST its list; the elements follow the columns that are read.
    pub unnests: Vec<String>,
    /// Does it add up the batch's rows of each group?
    pub grouped: bool,
    pub outputs: Vec<ExplainedOutput>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedOutput {
    pub column: String,
    pub expression: String,
    /// The decoded column goes in as it is, and keeps what is absent absent.
    pub passes: bool,
    /// `None` in a grouped statement: a column of the groups.
    pub aggregate: Option<&'static str>,
    /// What the result is turned into for the target, value by value; `None`: it is that already.
    pub converts: Option<String>,
}

impl Transform {
    /// How it runs.
    pub fn explain(&self) -> Explained {
        let fields = self.base.fields();
        let outputs = self.outputs.iter().zip(self.schema.fields()).map(|(output, field)| {
            let from = output.expr.data_type(&self.unnested).ok();
            let to = output.convert.target();
            let converts = output.aggregate.is_none() && from.as_ref() != Some(to);
            ExplainedOutput {
                column: field.name().clone(),
                expression: output.expr.to_string(),
                passes: output.passes.is_some() && output.aggregate.is_none() && !converts,
                aggregate: output.aggregate.map(Aggregate::name),
                converts: converts
                    .then(|| format!("{} to {to}", from.map_or_else(String::new, |from| from.to_string()))),
            }
        });
        Explained {
            reads: fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect(),
            topic: self.topic.as_ref().map(|(_, name)| name.clone()),
            filter: self.filter.as_ref().map(ToString::to_string),
            unnests: self.unnests.iter().map(ToString::to_string).collect(),
            grouped: self.grouped,
            outputs: outputs.collect(),
        }
    }
}

impl CompiledCondition {
    /// How it runs: one output, the condition.
    pub fn explain(&self) -> Explained {
        self.0.explain()
    }
}
