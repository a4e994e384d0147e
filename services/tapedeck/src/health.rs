//! `tapedeck health`: whether one service does its work, for the health checks of containers, which bring no HTTP client.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::Context;

use crate::{cli::HealthArgs, http::Remote, output::print_line};

/// Asks `/readyz`, and prints the parts as JSON, so that the log of the health checks says which is to blame.
pub(crate) async fn health(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let address = reachable(args.listen);
    let (status, parts) =
        Remote::new(&format!("http://{address}"))?.ask("/readyz", &[]).await.with_context(|| {
            format!("no service answers at {address}; name its address with --listen (LISTEN)")
        })?;
    print_line(parts)?;
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where a service that listens at `listen` is asked from the same host.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
