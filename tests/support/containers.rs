//! The services as containers, for machines with a container engine: each is started once, at its first use.
//!
//! They carry the label `tidegate.tests`, by which scripts/test removes them afterwards.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use sqlx::Connection;
use testcontainers::core::{ContainerPort, IntoContainerPort};
use testcontainers::runners::AsyncRunner;
use testcontainers::{GenericImage, ImageExt};

/// Pulling an image may take minutes; a server that has not answered then will not.
const PATIENCE: Duration = Duration::from_secs(300);

struct Service {
    image: &'static str,
    tag: &'static str,
    port: u16,
    environment: Vec<(&'static str, String)>,
}

/// Starts a service and returns its endpoint, or why it could not be started.
pub fn start(variable: &str) -> Result<String, String> {
    // A port of the host that is known beforehand: Kafka must advertise it.
    let host_port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let host_port = host_port.map_err(|error| format!("no free port: {error}"))?.port();
    let (service, endpoint) = match variable {
        "TIDEGATE_TEST_KAFKA" => (kafka(host_port), format!("127.0.0.1:{host_port}")),
        "TIDEGATE_TEST_POSTGRES" => (
            database("postgres", "17", 5432, "POSTGRES_PASSWORD"),
            format!("postgres://postgres:secret@127.0.0.1:{host_port}/postgres"),
        ),
        "TIDEGATE_TEST_MARIADB" => (
            database("mariadb", "11", 3306, "MARIADB_ROOT_PASSWORD"),
            format!("mariadb://root:secret@127.0.0.1:{host_port}/mysql"),
        ),
        "TIDEGATE_TEST_MYSQL" => (
            database("mysql", "9", 3306, "MYSQL_ROOT_PASSWORD"),
            format!("mysql://root:secret@127.0.0.1:{host_port}/mysql"),
        ),
        unknown => return Err(format!("{unknown} names no service")),
    };
    // A thread and a runtime of its own: tests have theirs.
    let answering = endpoint.clone();
    let run = move || -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let started = Instant::now();
            let container = start_container(&service, host_port).await?;
            // It runs until scripts/test removes it; dropping the handle would stop it under the tests.
            std::mem::forget(container);
            while !answers(&answering).await {
                if started.elapsed() > PATIENCE {
                    return Err(format!("{}:{} does not answer", service.image, service.tag));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        })
    };
    std::thread::spawn(run).join().map_err(|_| "the starting thread panicked".to_owned())??;
    Ok(endpoint)
}

async fn start_container(
    service: &Service,
    host_port: u16,
) -> Result<testcontainers::ContainerAsync<GenericImage>, String> {
    let port: ContainerPort = service.port.tcp();
    let image = GenericImage::new(service.image, service.tag).with_exposed_port(port);
    let mut request =
        image.with_mapped_port(host_port, port).with_label("tidegate.tests", "1").with_startup_timeout(PATIENCE);
    for (name, value) in &service.environment {
        request = request.with_env_var(*name, value);
    }
    request.start().await.map_err(|error| format!("{}:{}: {error}", service.image, service.tag))
}

fn database(image: &'static str, tag: &'static str, port: u16, password: &'static str) -> Service {
    Service { image, tag, port, environment: vec![(password, "secret".to_owned())] }
}

fn kafka(host_port: u16) -> Service {
    let environment = [
        ("KAFKA_NODE_ID", "1"),
        ("KAFKA_PROCESS_ROLES", "broker,controller"),
        ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@localhost:9093"),
        ("KAFKA_LISTENERS", "INTERNAL://:19092,CONTROLLER://:9093,HOST://:9092"),
        ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
        ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
        ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,HOST:PLAINTEXT"),
        ("KAFKA_NUM_PARTITIONS", "4"),
        ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
        ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
        ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ];
    let mut environment: Vec<_> = environment.map(|(name, value)| (name, value.to_owned())).into();
    let advertised = format!("INTERNAL://localhost:19092,HOST://127.0.0.1:{host_port}");
    environment.push(("KAFKA_ADVERTISED_LISTENERS", advertised));
    Service { image: "apache/kafka", tag: "4.1.0", port: 9092, environment }
}

async fn answers(endpoint: &str) -> bool {
    if endpoint.starts_with("postgres://") {
        sqlx::PgConnection::connect(endpoint).await.is_ok()
    } else if endpoint.contains("://") {
        sqlx::MySqlConnection::connect(&endpoint.replace("mariadb://", "mysql://")).await.is_ok()
    } else {
        use rdkafka::consumer::{BaseConsumer, Consumer};
        let client: Result<BaseConsumer, _> = rdkafka::ClientConfig::new().set("bootstrap.servers", endpoint).create();
        client.is_ok_and(|client| client.fetch_metadata(None, Duration::from_secs(2)).is_ok())
    }
}
