//! Runs the faults one by one and prints the result of each.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Context;
use chaos::{
    Outcome,
    faults::{self, Fault},
    numbers::Numbers,
    process::free_port,
    results,
    scene::{StoreKind, World},
    servers::Server,
};
use clap::Parser;

/// Faults against the real services, broker and store.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Args {
    /// Use the numbers of the guarantees, and append a row for each fault to RESULTS.md.
    #[arg(long)]
    long: bool,
    /// Run only these faults.
    #[arg(long, env = "CHAOS_FAULTS", value_delimiter = ',')]
    faults: Vec<u8>,
    /// Seed of the random times, to repeat an earlier run.
    #[arg(long, env = "CHAOS_SEED")]
    seed: Option<u64>,
    /// Number of ticks of a fault.
    #[arg(long, env = "CHAOS_TICKS")]
    ticks: Option<u64>,
    /// Ticks per second.
    #[arg(long, env = "CHAOS_RATE")]
    rate: Option<u32>,
    /// Number of kills.
    #[arg(long, env = "CHAOS_KILLS")]
    kills: Option<u32>,
    /// Length of an outage of a server, in seconds.
    #[arg(long, env = "CHAOS_OUTAGE_SECONDS")]
    outage_seconds: Option<u64>,
    /// Length of the second outage of the broker, in seconds.
    #[arg(long, env = "CHAOS_LONG_OUTAGE_SECONDS")]
    long_outage_seconds: Option<u64>,
    /// The live store.
    #[arg(long, env = "CHAOS_STORE", value_enum, default_value_t = StoreKind::Mongodb)]
    store: StoreKind,
    /// Port of the broker.
    #[arg(long, env = "KAFKA_PORT", default_value_t = 9092)]
    kafka_port: u16,
    /// Port of the store's server.
    #[arg(long, env = "MONGO_PORT", default_value_t = 27017)]
    mongo_port: u16,
    /// Port of MySQL.
    #[arg(long, env = "MYSQL_PORT", default_value_t = 3307)]
    mysql_port: u16,
    /// Port of the mail server that fails on demand.
    #[arg(long, env = "SMTPFAULT_PORT", default_value_t = 1026)]
    smtpfault_port: u16,
    /// Port of Elasticsearch.
    #[arg(long, env = "ELASTICSEARCH_PORT", default_value_t = 9200)]
    elasticsearch_port: u16,
    /// Folder for the logs of the services [default: a temporary folder, removed if all faults pass].
    #[arg(long, env = "CHAOS_OUTPUT")]
    output: Option<PathBuf>,
}

impl Args {
    fn numbers(&self) -> Numbers {
        let all = if self.long { Numbers::LONG } else { Numbers::SHORT };
        Numbers {
            ticks: self.ticks.unwrap_or(all.ticks),
            rate: self.rate.unwrap_or(all.rate),
            kills: self.kills.unwrap_or(all.kills),
            outage_seconds: self.outage_seconds.unwrap_or(all.outage_seconds),
            long_outage_seconds: self.long_outage_seconds.unwrap_or(all.long_outage_seconds),
            ..all
        }
    }

    fn faults(&self) -> anyhow::Result<Vec<Fault>> {
        if self.faults.is_empty() {
            return Ok(faults::ALL.to_vec());
        }
        let find = |number: &u8| {
            faults::ALL
                .into_iter()
                .find(|fault| fault.number == *number)
                .with_context(|| format!("no fault {number}"))
        };
        self.faults.iter().map(find).collect()
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    let folder = match args.output.clone() {
        Some(folder) => folder,
        None => tempfile::Builder::new().prefix("chaos-").tempdir()?.keep(),
    };
    let (proxied, proxy) = (free_port()?, free_port()?);
    let kafka_env = vec![
        ("KAFKA_PORT".to_owned(), args.kafka_port.to_string()),
        ("KAFKA_PROXIED".to_owned(), format!("{proxied}:{proxy}")),
    ];
    // Memory for the ticks of a fault, some two million of 1.5 kB each: with less the server becomes very slow.
    let mongo_env = vec![
        ("MONGO_PORT".to_owned(), args.mongo_port.to_string()),
        ("MONGO_HEAP".to_owned(), "6g".to_owned()),
    ];
    let in_memory = [("MONGO_MEMORY".to_owned(), "1".to_owned())];
    let mysql_env = vec![("MYSQL_PORT".to_owned(), args.mysql_port.to_string())];
    let smtp_env = vec![("SMTPFAULT_PORT".to_owned(), args.smtpfault_port.to_string())];
    let elastic_env = vec![
        ("ELASTICSEARCH_PORT".to_owned(), args.elasticsearch_port.to_string()),
        ("ELASTICSEARCH_TRANSPORT_PORT".to_owned(), (args.elasticsearch_port + 100).to_string()),
    ];
    let world = World {
        numbers: args.numbers(),
        seed,
        kafka: Server::new("kafka.sh", "kafka", kafka_env)?,
        kafka_port: args.kafka_port,
        kafka_proxied_port: proxied,
        kafka_proxy_port: proxy,
        mongo: Server::new("mongo.sh", "mongo-mjs", [&mongo_env[..], &in_memory].concat())?,
        mongo_on_disk: Server::new("mongo.sh", "mongo-mjs", mongo_env)?,
        mongo_port: args.mongo_port,
        mysql: Server::new("mysql.sh", "mysql", mysql_env)?,
        mysql_port: args.mysql_port,
        smtp: Server::new("smtpfault.sh", "smtpfault", smtp_env)?,
        smtp_port: args.smtpfault_port,
        elastic: Server::new("elasticsearch.sh", "elasticsearch", elastic_env)?,
        elastic_port: args.elasticsearch_port,
        store: args.store,
        folder: folder.clone(),
    };
    println!("seed {seed}, logs in {}, {:?}", folder.display(), world.numbers);

    let mut run = Vec::new();
    for fault in args.faults()? {
        println!("fault {}: {}", fault.number, fault.name);
        let begun = Instant::now();
        let outcome = faults::run(fault, &world)
            .await
            .unwrap_or_else(|error| Outcome { problems: vec![format!("{error:#}")], ..Outcome::default() });
        for problem in &outcome.problems {
            println!("    BROKEN: {problem}");
        }
        println!(
            "    {} in {} s",
            if outcome.problems.is_empty() { "kept" } else { "broken" },
            begun.elapsed().as_secs()
        );
        run.push((fault, outcome));
    }
    // Stops the servers, and removes the data of the last fault.
    for server in [&world.kafka, &world.mongo, &world.mysql, &world.smtp, &world.elastic] {
        server.wipe().await?;
    }
    if args.long {
        let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        let path =
            results::append(&format!("chaos {command} --seed {seed}"), &format!("{:?}", args.store), &run)?;
        println!("noted in {}", path.display());
    }
    let broken = run.iter().filter(|(_, outcome)| !outcome.problems.is_empty()).count();
    if broken > 0 {
        // Once more at the end, where a reader of a long output looks.
        for (fault, outcome) in &run {
            for problem in &outcome.problems {
                println!("fault {}: BROKEN: {problem}", fault.number);
            }
        }
        println!(
            "{broken} of {} broken; the logs are in {}, the seed is {seed}",
            run.len(),
            folder.display()
        );
        return Ok(ExitCode::FAILURE);
    }
    if args.output.is_none() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}
