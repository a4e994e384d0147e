//! `tapedeck health`: checks whether a service is ready, for health checks of containers, whose images have no HTTP client.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::ExitCode,
};

use anyhow::Context;

use crate::{cli::HealthArgs, http::Remote, output::print_line};

/// Requests `/readyz` and prints the parts as JSON, so that the log of the health checks shows which of them is down.
pub(crate) async fn health(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let address = reachable(args.listen);
    let (status, parts) =
        Remote::new(&format!("http://{address}"))?.ask("/readyz", &[]).await.with_context(|| {
            format!("no service responds at {address}; set its address with --listen (LISTEN)")
        })?;
    print_line(parts)?;
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The address under which a service that listens at `listen` can be reached from the same host.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
