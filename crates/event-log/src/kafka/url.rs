//! Parses the URL of a Kafka cluster: `kafka://host:9092`, `kafka+tls://user:password@host:9093?sasl=scram-sha-512&ca=/path/ca.pem`.

use std::fs::File;

use rdkafka::error::KafkaError;

use super::settings::ClientSettings;
use crate::{EventLogError, Result, error::without_credentials};

/// Short names of common parameters, with the names in librdkafka. All are paths of PEM files.
const FILES: [(&str, &str); 3] =
    [("ca", "ssl.ca.location"), ("cert", "ssl.certificate.location"), ("key", "ssl.key.location")];
/// Values of `sasl`, and whether librdkafka supports them without OpenSSL.
const MECHANISMS: [(&str, bool); 3] = [("PLAIN", true), ("SCRAM-SHA-256", false), ("SCRAM-SHA-512", false)];

/// Whether librdkafka was built with OpenSSL.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// Parses the part of the URL after `kafka:` or, with `tls`, after `kafka+tls:`.
pub(crate) fn parse(rest: &str, tls: bool) -> Result<ClientSettings> {
    let scheme = if tls { "kafka+tls" } else { "kafka" };
    let url = format!("{scheme}:{rest}");
    let bad = |reason: String| EventLogError::BadUrl { url: without_credentials(&url), reason };
    let rest = rest.strip_prefix("//").ok_or_else(|| bad(format!("no // after {scheme}:")))?;
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (user, brokers) =
        authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
    if brokers.contains('/') || !brokers.split(',').all(is_broker) {
        return Err(bad("no host:port, or an invalid one in the list".to_owned()));
    }
    let mut own = vec![("security.protocol".to_owned(), protocol(tls, user.is_some()).to_owned())];
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        own.push(("sasl.mechanism".to_owned(), "PLAIN".to_owned()));
        own.push(("sasl.username".to_owned(), decoded(name)));
        own.push(("sasl.password".to_owned(), decoded(password)));
    }
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        own.push(setting(&name, &value, tls, user.is_some()).map_err(bad)?);
    }
    if let Some(name) = own.iter().find_map(|(name, value)| needs_tls(name, value)).filter(|_| !HAS_TLS) {
        return Err(bad(format!(
            "{name} needs TLS, which this build does not include; build it with `--features kafka-tls` (it links the \
             system's OpenSSL: libssl-dev and pkg-config must be installed)"
        )));
    }
    let settings = ClientSettings { brokers: brokers.to_owned(), own };
    let user = settings.producer().get("sasl.username").is_some_and(|user| !user.is_empty());
    if user && settings.producer().get("sasl.password").is_none_or(str::is_empty) {
        return Err(bad("it has a user and no password; set LOG_PASSWORD or LOG_PASSWORD_FILE".to_owned()));
    }
    // Checks names and values without connecting. The error does not repeat the value: it may be a password.
    match settings.producer().create_native_config() {
        Ok(_) => Ok(settings),
        // Nor the name, if it may be the end of a password.
        Err(KafkaError::ClientConfig(..)) if query.contains('@') => Err(bad(
            "a setting is unknown or has a wrong value; a ? in a password is written %3F, an @ in a setting %40".to_owned(),
        )),
        Err(KafkaError::ClientConfig(_, _, key, _)) => {
            Err(bad(format!("setting `{key}` is unknown or has a wrong value")))
        }
        Err(error) => Err(bad(error.to_string())),
    }
}

fn protocol(tls: bool, user: bool) -> &'static str {
    match (tls, user) {
        (false, false) => "plaintext",
        (false, true) => "sasl_plaintext",
        (true, false) => "ssl",
        (true, true) => "sasl_ssl",
    }
}

/// One parameter, by its short name or by librdkafka's, as a setting of librdkafka.
fn setting(name: &str, value: &str, tls: bool, user: bool) -> Result<(String, String), String> {
    if let Some((_, long)) = FILES.iter().find(|(short, _)| *short == name) {
        if !tls {
            return Err(format!("`{name}` is for TLS; write kafka+tls:// instead of kafka://"));
        }
        // Checked here, by name: librdkafka's own error does not name the file.
        File::open(value).map_err(|error| format!("`{name}={value}` cannot be read: {error}"))?;
        return Ok(((*long).to_owned(), value.to_owned()));
    }
    if name != "sasl" {
        return Ok((name.to_owned(), value.to_owned()));
    }
    if !user {
        return Err(
            "`sasl` is the mechanism by which a user signs in, and there is no user; write USER@host"
                .to_owned(),
        );
    }
    let known = MECHANISMS.iter().find(|(mechanism, _)| mechanism.eq_ignore_ascii_case(value));
    let names = || MECHANISMS.map(|(mechanism, _)| mechanism.to_lowercase()).join(", ");
    let (mechanism, _) = known.ok_or_else(|| format!("`sasl` is one of {}", names()))?;
    Ok(("sasl.mechanism".to_owned(), (*mechanism).to_owned()))
}

/// The part of the URL that librdkafka supports only with OpenSSL, for messages; `None` if it needs no OpenSSL.
fn needs_tls(name: &str, value: &str) -> Option<String> {
    let is_tls = match name {
        "security.protocol" => value.to_ascii_lowercase().ends_with("ssl"),
        "sasl.mechanism" | "sasl.mechanisms" => {
            MECHANISMS.iter().any(|(mechanism, always)| !always && mechanism.eq_ignore_ascii_case(value))
        }
        _ => name.starts_with("ssl."),
    };
    let shown = match name {
        "security.protocol" => "`kafka+tls` (security.protocol)".to_owned(),
        "sasl.mechanism" | "sasl.mechanisms" => format!("`sasl={}` (sasl.mechanism)", value.to_lowercase()),
        _ => format!("`{name}`"),
    };
    is_tls.then_some(shown)
}

fn is_broker(broker: &str) -> bool {
    let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
    !host.is_empty() && port.parse::<u16>().is_ok()
}

/// Decodes percent escapes. A plus stays a plus: it is a space in queries only.
fn decoded(text: &str) -> String {
    let query = format!("={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(rest: &str) -> Vec<(String, String)> {
        parse(rest, false).unwrap().own
    }

    #[test]
    fn several_brokers_and_settings_are_read() {
        let settings = parse("//one:9092,two:9093?linger.ms=1&client.id=x", false).unwrap();
        assert_eq!(settings.brokers, "one:9092,two:9093");
        assert_eq!(settings.producer().get("linger.ms"), Some("1"));
        assert_eq!(settings.member("g").get("client.id"), Some("x"));
    }

    #[test]
    fn user_and_password_become_settings_and_are_decoded() {
        let own = own("//me:p%40ss+word@host:9092");
        assert!(own.contains(&("sasl.username".to_owned(), "me".to_owned())));
        assert!(own.contains(&("sasl.password".to_owned(), "p@ss+word".to_owned())));
    }

    #[test]
    fn no_error_shows_a_password() {
        for rest in [
            "//me:secret@host:9092?no.such.setting=1",
            "//me:secret@host:port",
            "//me:secret@",
            "//host:9092?sasl.password=secret&security.protocol=secret",
            "//host:9092?sasl.password=a@secret&no.such.setting=1",
            "//host:9092?sasl.password=secret@a&no.such.setting=1",
            "//me:1?secret@host:9092",
            "//me:1?secret=a@host:9092",
            "//me:secret?a@host:9092",
            "//me:a#secret@host:port",
            "me:secret@host",
        ] {
            let error = parse(rest, false).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = parse("//host:9092?no.such.setting=1", false).map(|_| ()).unwrap_err();
        assert!(
            matches!(&error, EventLogError::BadUrl { reason, .. } if reason.contains("no.such.setting")),
            "{error}"
        );
    }

    fn refusal(rest: &str, tls: bool) -> String {
        parse(rest, tls).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn a_user_without_a_password_is_refused_with_the_name_of_its_variable() {
        let error = refusal("//me@host:9092", false);
        assert!(error.contains("LOG_PASSWORD_FILE"), "{error}");
    }

    #[test]
    fn short_names_that_do_not_apply_are_refused() {
        for (rest, tls, part) in [
            ("//host:9092?sasl=plain", false, "no user"),
            ("//me:secret@host:9092?sasl=md5", false, "scram-sha-256"),
            ("//host:9092?ca=/etc/hosts", false, "kafka+tls://"),
            ("//host:9093?ca=/no/such/ca.pem", true, "`ca=/no/such/ca.pem` cannot be read"),
        ] {
            let error = refusal(rest, tls);
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
        assert!(own("//me:secret@host?sasl=plain").contains(&("sasl.mechanism".into(), "PLAIN".into())));
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn without_openssl_a_setting_that_needs_it_is_refused_with_the_name_of_the_feature() {
        for (rest, tls, part) in [
            ("//host:9093", true, "kafka+tls"),
            ("//me:secret@host:9092?sasl=scram-sha-512", false, "`sasl=scram-sha-512`"),
            ("//host:9092?security.protocol=SSL", false, "security.protocol"),
            ("//host:9092?ssl.cipher.suites=x", false, "`ssl.cipher.suites`"),
        ] {
            let error = refusal(rest, tls);
            assert!(error.contains(part) && error.contains("--features kafka-tls"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[cfg(feature = "kafka-tls")]
    #[test]
    fn short_names_become_settings() {
        let settings = parse("//me:word@host:9093?sasl=scram-sha-512&ca=/dev/null", true).unwrap().producer();
        for (name, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/dev/null"),
        ] {
            assert_eq!(settings.get(name), Some(value));
        }
        assert_eq!(parse("//host:9093", true).unwrap().producer().get("security.protocol"), Some("ssl"));
    }
}
