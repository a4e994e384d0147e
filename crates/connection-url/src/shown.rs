//! What of a URL a message may contain.

/// The part of a URL that may be shown: scheme and hosts or path, with control characters escaped. Users, passwords and
/// settings are left out, however malformed the URL is: everything from the first `?` or `#` on, and everything before the
/// last `@`. An `@` behind the `?` may end a password that contains a `?`, or belong to a setting: then only the scheme is
/// left. A scheme is shown only with `://` behind it, because a single `:` may also separate a user from a password. So may one in
/// front of what is no port: then the place is left out as well.
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), url),
    };
    let (place, behind) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let place = place.rsplit('@').next().unwrap_or_default();
    let is_hidden = behind.contains('@') || (!scheme.is_empty() && !has_ports(place));
    let shown = if is_hidden { "..." } else { place };
    format!("{scheme}{}", shown.escape_debug())
}

/// Whether what follows the last `:` of each host is a number, or nothing. The path is not looked at.
fn has_ports(place: &str) -> bool {
    let hosts = place.split('/').next().unwrap_or_default().split(',');
    let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // The colons of an address of version 6 are in brackets.
    let mut ports = hosts.filter_map(|host| host.rsplit(']').next()?.rsplit_once(':'));
    ports.all(|(_, port)| is_port(port))
}

/// Whether a text has only the characters that schemes of this workspace have. The part before a `:` may also be the
/// beginning of a password.
pub fn is_scheme(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}
