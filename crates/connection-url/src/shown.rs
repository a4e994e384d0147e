//! What of a URL a message may contain.

/// The part of a URL that may be shown: scheme and hosts or path, with control characters escaped. Users, passwords and
/// settings are left out, however malformed the URL is: everything from the first `?` or `#` on, and everything before the
/// last `@`. An `@` behind the `?` may end a password that contains a `?`, or belong to a setting: then only the scheme is
/// left. A scheme is shown only with `://` behind it, because a single `:` may also separate a user from a password.
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        _ => (String::new(), url),
    };
    let (place, behind) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let shown = if behind.contains('@') { "..." } else { place.rsplit('@').next().unwrap_or_default() };
    format!("{scheme}{}", shown.escape_debug())
}

/// Whether a text has only the characters that schemes of this workspace have. The part before a `:` may also be the
/// beginning of a password.
pub fn is_scheme(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+')
}
