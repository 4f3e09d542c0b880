//! The columns of `[privacy]` and `[profile]` against what is really decoded.

use crate::config::{Pipeline, nearest};
use crate::rows::InputSchema;

/// Are the columns there? A table without SQL has columns that only the database knows.
///
/// # Errors
/// Every column that is not, as a sentence with its cure.
pub fn check(pipeline: &Pipeline, input: &InputSchema) -> Result<(), Vec<String>> {
    let private = pipeline.privacy.iter().flat_map(|privacy| &privacy.columns);
    let named =
        private.map(|column| ("privacy", column)).chain(pipeline.profile.iter().map(|column| ("profile", column)));
    let declared = pipeline.source.columns.iter().map(|column| column.name.as_str());
    let known: Vec<&str> = declared.chain(input.columns.iter().map(|column| column.name.as_str())).collect();
    let unknown = named.filter(|(_, column)| !known.contains(&column.as_str()));
    let sentence = |(section, column): (&str, &String)| {
        let cure = match nearest(column, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the columns are {}", known.join(", ")),
        };
        format!("`{section}.columns`: there is no input column \"{column}\"; {cure}")
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
    fn a_named_column_that_nothing_decodes_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let text = "name = \"p\"\n[source]\nbrokers = [\"b:1\"]\ntopics = [\"t\"]\n[sink]\nurl = \"sqlite://x.db\"\n\
                    [[table]]\nname = \"people\"\n[privacy]\ncolumns = [\"email\", \"phnoe\"]\n\
                    [profile]\ncolumns = [\"age\"]\n";
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
        let expected = [
            "`privacy.columns`: there is no input column \"phnoe\"; did you mean \"phone\"?",
            "`profile.columns`: there is no input column \"age\"; the columns are email, phone",
        ];
        assert_eq!(problems, expected);
    }
}
