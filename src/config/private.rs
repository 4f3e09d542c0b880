//! `[keys.<id>]` and `[privacy]` as written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::node::{Kind, Node};
use super::problem::{Place, Problems};
use super::read::{Given, Read, Setting, joined, section, setting, wrong_type};

/// A key that hides private values: `hash(x, '<id>')` and `encrypt(x, '<id>')` in SQL, `[privacy] key = "<id>"`.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Key", extend("required" = ["value"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawKey {
    /// 32 random bytes in base64 or as 64 hex digits, as `openssl rand -base64 32` prints them; by a reference, so that
    /// the file holds no secret.
    #[schemars(extend("examples" = ["${file:/run/secrets/k1}", "${TIDEGATE_K1}"]))]
    pub value: Setting<String>,
}

section!(RawKey = "keys.<id>" { value } later {});

/// Private columns: dead letters of the pipeline do not hold their records in clear.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Privacy", extend("required" = ["columns"]))]
#[serde(default, deny_unknown_fields)]
pub struct RawPrivacy {
    /// The private columns of the input. As dead letters keep records as a whole, one is enough to hide them.
    #[schemars(length(min = 1), extend("examples" = [["email", "phone"]]))]
    pub columns: Setting<Vec<Given<String>>>,
    /// The id of the key of `[keys]` that encrypts dead letters. Without it they do not keep the record at all, and
    /// cannot be replayed.
    #[schemars(extend("examples" = ["k1"]))]
    pub key: Setting<String>,
}

section!(RawPrivacy = "privacy" { columns, key } later {});

/// All of `[keys]`, in the order of the file.
#[derive(Debug, Default)]
pub struct NamedKeys(pub Vec<NamedKey>);

#[derive(Debug)]
pub struct NamedKey {
    pub id: String,
    /// The place of its id.
    pub place: Place,
    pub key: RawKey,
}

impl Read for NamedKeys {
    fn read(node: &Node, option: &str, problems: &mut Problems) -> Option<Self> {
        let Kind::Table(entries) = &node.kind else {
            let cure = "write a section per key: [keys.k1] with value = \"${file:/run/secrets/k1}\"";
            wrong_type(node, option, cure, problems);
            return None;
        };
        let keys: Vec<Option<NamedKey>> = entries
            .iter()
            .map(|(id, node)| {
                let option = joined(option, id);
                if !matches!(node.kind, Kind::Table(_) | Kind::Broken) {
                    let cure = format!("write [{option}] with value = \"${{file:/run/secrets/{id}}}\"");
                    wrong_type(node, &option, &cure, problems);
                    return None;
                }
                let key = setting::<RawKey>(node, &option, problems).into_given()?.value;
                Some(NamedKey { id: id.clone(), place: node.key.clone(), key })
            })
            .collect();
        keys.into_iter().collect::<Option<Vec<_>>>().map(Self)
    }
}

impl JsonSchema for NamedKeys {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Keys".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<RawKey>();
        json_schema!({ "type": "object", "additionalProperties": key })
    }
}
