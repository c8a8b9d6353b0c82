//! `--host`: the worker of another machine.

use super::text;
use crate::client::{Endpoint, HostName, Remote};
use crate::config::{Config, HostConfig};
use crate::paths::Paths;

/// Which machine's worker is meant.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)] // flattened into the flags of a command
pub(super) struct Flag {
    /// The worker of another machine, over ssh: server, user@server. flux-tui has to be installed there.
    #[arg(long, value_name = "HOST")]
    pub host: Option<HostName>,
}

impl Flag {
    /// Where the worker is. What is wrong in the configuration is told where it matters.
    pub fn endpoint(&self, paths: &Paths) -> Endpoint {
        let Some(host) = self.host.clone() else { return Endpoint::Here(paths.clone()) };
        let (config, problems) = Config::load(&paths.config);
        problems.iter().for_each(|problem| text::complain("warning", &problem.to_string()));
        let HostConfig { command, program } = config.host;
        Endpoint::There(Remote { host, command, program })
    }
}
