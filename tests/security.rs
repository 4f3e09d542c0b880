//! TLS and SASL against a real listener of a broker of our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::support::daemon::{Daemon, eventually};
use crate::support::database::{Kind, TestDatabase};
use crate::support::kafka;
use crate::support::servers::Servers;

const PATIENCE: Duration = Duration::from_secs(90);
const WRONG_PASSWORD: &str = "c4n4ry-of-a-password";

/// How a client introduces itself.
#[derive(Clone, Copy)]
struct Client<'a> {
    host: &'a str,
    mechanism: &'a str,
    password: &'a str,
    /// The certificate that it trusts; the system's, where there is none.
    authority: Option<&'a Path>,
}

struct Scene {
    servers: Servers,
    topic: String,
    database: TestDatabase,
    folder: tempfile::TempDir,
}

impl Scene {
    fn file(&self, client: Client<'_>) -> PathBuf {
        let name = kafka::unique("s");
        let password = self.folder.path().join(format!("{name}.password"));
        std::fs::write(&password, client.password).unwrap();
        let authority = client.authority.map_or_else(String::new, |path| format!("\"ssl.ca.location\" = {path:?}\n"));
        let text = format!(
            "name = \"{name}\"\n[source]\nbrokers = [\"{}:{}\"]\ntopics = [\"{}\"]\n[source.kafka]\n\
             \"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"{}\"\n\"sasl.username\" = \"tidegate\"\n\
             \"sasl.password\" = \"${{file:{}}}\"\n{authority}[sink]\nurl = \"{}\"\n[[table]]\nname = \"ev\"\n",
            client.host,
            self.servers.port("KAFKA_SASL_PORT"),
            self.topic,
            client.mechanism,
            password.display(),
            self.database.url
        );
        let path = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn is_let_in(&self, client: Client<'_>) {
        let file = self.file(client);
        let output = check(&file);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
        self.database.execute("DELETE FROM ev").await;
        let daemon = Daemon::start(&file);
        eventually(&format!("records by way of {}", client.mechanism), PATIENCE, || async {
            self.database.number("SELECT count(*) FROM ev").await == 100
        })
        .await;
        assert_eq!(daemon.stop(), 0);
    }

    /// The status and `tidegate check` say why, by `words`, and neither says the password.
    async fn is_kept_out(&self, client: Client<'_>, words: &str) {
        let file = self.file(client);
        let daemon = Daemon::start(&file);
        eventually(&format!("{words:?} in the status"), PATIENCE, || async {
            daemon.get("/readyz").is_some_and(|(code, body)| {
                assert!(!body.contains(client.password), "the password is told: {body}");
                code == 503 && body.contains("blocked") && body.contains(words)
            })
        })
        .await;
        assert!(!daemon.log().contains(client.password), "the password is in the log");
        assert_eq!(daemon.stop(), 0);
        let output = check(&file);
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(words), "{told}");
        assert!(!told.contains(client.password), "the password is told: {told}");
    }
}

fn check(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg(file).output().unwrap()
}

fn produce(brokers: &str, topic: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    for seq in 0..100 {
        let value = format!(r#"{{"seq":{seq}}}"#);
        producer.send(BaseRecord::<(), str>::to(topic).payload(&value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn tls_and_sasl() {
    let Some(servers) = Servers::start("tls_and_sasl", &["kafka"]) else { return };
    let brokers = format!("127.0.0.1:{}", servers.port("KAFKA_PORT"));
    let topic = kafka::unique("t");
    kafka::create_at(&brokers, &topic, 2);
    produce(&brokers, &topic);
    let authority = servers.home().join("kafka/ca.pem");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = TestDatabase::new(Kind::Sqlite).await;
        database.execute("CREATE TABLE ev (seq bigint NOT NULL)").await;
        let scene = Scene { servers, topic, database, folder: tempfile::tempdir().unwrap() };
        let scram =
            Client { host: "127.0.0.1", mechanism: "SCRAM-SHA-512", password: "secret", authority: Some(&authority) };
        scene.is_let_in(scram).await;
        scene.is_let_in(Client { mechanism: "PLAIN", ..scram }).await;
        for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
            scene.is_kept_out(Client { mechanism, password: WRONG_PASSWORD, ..scram }, "sasl.password").await;
        }
        // A certificate that nobody vouches for, and one for another name.
        scene.is_kept_out(Client { authority: None, password: WRONG_PASSWORD, ..scram }, "ssl.ca.location").await;
        scene.is_kept_out(Client { host: "localhost", password: WRONG_PASSWORD, ..scram }, "certificate").await;
    });
}
