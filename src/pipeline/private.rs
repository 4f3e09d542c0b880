//! `[privacy]` against what is really decoded.

use crate::config::{Pipeline, nearest};
use crate::rows::InputSchema;

/// Are the private columns there? A table without SQL has columns that only the database knows.
///
/// # Errors
/// Every column that is not, as a sentence with its cure.
pub fn check(pipeline: &Pipeline, input: &InputSchema) -> Result<(), Vec<String>> {
    let Some(privacy) = &pipeline.privacy else { return Ok(()) };
    let declared = pipeline.source.columns.iter().map(|column| column.name.as_str());
    let known: Vec<&str> = declared.chain(input.columns.iter().map(|column| column.name.as_str())).collect();
    let unknown = privacy.columns.iter().filter(|column| !known.contains(&column.as_str()));
    let sentence = |column: &String| {
        let cure = match nearest(column, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the columns are {}", known.join(", ")),
        };
        format!("`privacy.columns`: there is no input column \"{column}\"; {cure}")
    };
    let problems: Vec<String> = unknown.map(sentence).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load_pipelines};
    use crate::rows::{BytesEncoding, ColumnSource, InputColumn};
    use crate::types::ColumnType;

    #[test]
    fn a_private_column_that_nothing_decodes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let text = "name = \"p\"\n[source]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\n[sink]\nurl = \"sqlite://x.db\"\n\
                    [[table]]\nname = \"people\"\n[privacy]\ncolumns = [\"email\", \"phnoe\"]\n";
        std::fs::write(&file, text).unwrap();
        let pipeline = load_pipelines(&[file], &Environment::default()).unwrap().remove(0);
        let column = |name: &str| InputColumn {
            name: name.to_owned(),
            ty: ColumnType::Text,
            source: ColumnSource::Value(vec![name.to_owned()]),
            unit: None,
            encoding: BytesEncoding::Base64,
            default: None,
            key: false,
        };
        let problems = check(&pipeline, &InputSchema::new(vec![column("email"), column("phone")], None)).unwrap_err();
        assert_eq!(problems, ["`privacy.columns`: there is no input column \"phnoe\"; did you mean \"phone\"?"]);
    }
}
