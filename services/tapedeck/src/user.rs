//! `tapedeck user`: the accounts of people, for the operator.

use std::io::{IsTerminal, stdin};

use accounts::{Password, PasswordHasher, User, parse_watch_list};
use anyhow::{Context, bail};
use chrono::Utc;
use clap::Subcommand;
use comfy_table::{Table, presets::NOTHING};
use console::Term;
use live_store::{LiveStore, MAX_PAGE_USERS};
use market::Symbol;
use owed_mails::EmailAddress;
use service_runtime::SecretString;

use crate::{moving::StorePlace, output::print_line};

/// Longest line that is read as a password, in bytes.
const MAX_LINE_BYTES: u64 = 4_096;

#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    #[command(flatten)]
    place: StorePlace,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add an account whose address needs no confirmation. The password is asked for, or read from the standard input: one line.
    Add {
        /// The e-mail address.
        email: EmailAddress,
        /// Symbols to watch: AAPL,BTC/USDT.
        #[arg(long, value_name = "A,B", default_value = "")]
        symbols: String,
    },
    /// List the accounts.
    List,
    /// Remove an account with its sessions and rules.
    Remove {
        /// The e-mail address, in any spelling.
        email: EmailAddress,
    },
}

pub(crate) async fn user(UserArgs { place, command }: UserArgs) -> anyhow::Result<()> {
    let (store, name) = place.open_existing().await?;
    let done = match command {
        UserCommand::Add { email, symbols } => add(&*store, email, &symbols).await,
        UserCommand::List => list(&*store).await,
        UserCommand::Remove { email } => remove(&*store, &email).await,
    };
    let closed = store.close().await.with_context(|| format!("{name} was not closed in order"));
    print_line(done?)?;
    closed
}

async fn add(store: &dyn LiveStore, email: EmailAddress, symbols: &str) -> anyhow::Result<String> {
    let watch_list = parse_watch_list(symbols).context("--symbols")?;
    if store.user_of(&email).await.context("cannot read the users")?.is_some() {
        bail!("{email} has an account already; remove it first with `tapedeck user remove {email}`");
    }
    let password = Password::choose(&read_password()?, email.as_str())?;
    let hash = PasswordHasher::default().hash(password).await?;
    let now = Utc::now();
    let mut user = User::new(email, hash, now);
    (user.confirmed_at, user.watch_list) = (Some(now), watch_list);
    if !store.add_user(&user).await.context("cannot add the account")? {
        bail!("{} was registered by another process at the same moment", user.email);
    }
    web::synchronise_rules(store, &user).await.context("the account is added, but not its alert rules")?;
    Ok(format!("added {}; sign in at /login", user.email))
}

/// Asks twice on a terminal, without echo; otherwise reads one line.
fn read_password() -> anyhow::Result<SecretString> {
    if !stdin().is_terminal() {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::Read::take(stdin().lock(), MAX_LINE_BYTES), &mut line)
            .context("cannot read the password from the standard input")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned().into());
    }
    let terminal = Term::stderr();
    let ask = |prompt: &str| -> anyhow::Result<String> {
        terminal.write_str(prompt)?;
        terminal.read_secure_line().context("cannot read the password from the terminal")
    };
    let password = ask("Password (at least 10 characters): ")?;
    if ask("Once more: ")? != password {
        bail!("the two passwords differ; nothing was added");
    }
    Ok(password.into())
}

async fn list(store: &dyn LiveStore) -> anyhow::Result<String> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["E-MAIL", "CONFIRMED", "REGISTERED", "DIGEST", "SYMBOLS"]);
    let (mut after, mut count) = (None, 0);
    loop {
        let page = store.users(after, MAX_PAGE_USERS).await.context("cannot list the users")?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        count += page.len();
        for user in page {
            let digest = if user.digest.is_on {
                format!("{:02}:00 {}", user.digest.hour.get(), user.time_zone.name())
            } else {
                "off".to_owned()
            };
            let symbols: Vec<&str> = user.watch_list.iter().map(Symbol::as_str).collect();
            table.add_row([
                user.email.to_string(),
                if user.is_confirmed() { "yes" } else { "no" }.to_owned(),
                user.created_at.format("%Y-%m-%d").to_string(),
                digest,
                symbols.join(" "),
            ]);
        }
    }
    Ok(if count == 0 { "no accounts".to_owned() } else { table.to_string() })
}

async fn remove(store: &dyn LiveStore, email: &EmailAddress) -> anyhow::Result<String> {
    let Some(user) = store.user_of(email).await.context("cannot read the users")? else {
        bail!("there is no account of {email}");
    };
    web::remove_account(store, user.id).await.context("cannot remove the account; repeat the command")?;
    Ok(format!("removed {email} with its sessions and rules"))
}
