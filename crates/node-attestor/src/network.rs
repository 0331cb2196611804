//! Selectors of the networks that an Azure machine is in. The two attestors of Azure differ in
//! whether a network is named with its resource group, as SPIRE's do.

use std::collections::BTreeSet;

use signet_cloud::azure::Machine;

/// Whether a network's resource group is part of the selector.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Networks {
    WithGroup,
    ByName,
}

/// The values, each once.
pub(crate) fn network_selectors(machine: &Machine, networks: Networks) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for interface in &machine.interfaces {
        if let Some((group, name)) = &interface.security_group {
            found.insert(format!("network-security-group:{group}:{name}"));
        }
        for subnet in &interface.subnets {
            let network = match networks {
                Networks::WithGroup => format!("{}:{}", subnet.resource_group, subnet.network),
                Networks::ByName => subnet.network.clone(),
            };
            found.insert(format!("virtual-network-subnet:{network}:{}", subnet.name));
            found.insert(format!("virtual-network:{network}"));
        }
    }
    found
}
