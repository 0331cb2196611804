//! Whether the root volume was there from the start.
//!
//! A volume with a stolen agent on it, attached to another instance, would attest as that one. The
//! root volume and the first network interface of an instance are attached when it is launched;
//! a root volume that came much later, or earlier, was moved.

use std::time::{Duration, SystemTime};

use signet_cloud::aws::Instance;

/// Between the two, at most.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Root devices that cannot be moved.
const INSTANCE_STORE: &str = "instance-store";

/// Why an instance may have been tampered with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TamperError {
    /// AWS does not say when one of the two was attached.
    #[error("AWS does not say when the {0} of the instance was attached")]
    Unknown(&'static str),
    /// They were attached at different times.
    #[error(
        "the root volume was attached {} s apart from the first network interface: it may have been \
         moved (skip_block_device turns this check off)",
        .apart.as_secs()
    )]
    Moved {
        /// The time between.
        apart: Duration,
    },
}

/// Whether the root volume is the one that the instance was launched with.
pub(super) fn check(instance: &Instance) -> Result<(), TamperError> {
    if instance.root_device_type == INSTANCE_STORE {
        return Ok(());
    }
    let known = |moment: Option<SystemTime>, what| moment.ok_or(TamperError::Unknown(what));
    let interface = known(instance.first_interface_attached, "first network interface")?;
    let volume = known(instance.root_volume_attached, "root volume")?;
    let apart = volume
        .duration_since(interface)
        .unwrap_or_else(|earlier| earlier.duration());
    if apart > TOLERANCE {
        return Err(TamperError::Moved { apart });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(volume: u64, interface: u64) -> Instance {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        Instance {
            root_device_type: "ebs".to_owned(),
            root_volume_attached: at(volume),
            first_interface_attached: at(interface),
            ..Instance::default()
        }
    }

    #[test]
    fn a_minute_apart_is_a_launch_and_more_is_a_move() {
        assert_eq!(check(&attached(1060, 1000)), Ok(()));
        assert_eq!(check(&attached(940, 1000)), Ok(()));
        let apart = Duration::from_secs(61);
        assert_eq!(
            check(&attached(1061, 1000)),
            Err(TamperError::Moved { apart })
        );
        assert_eq!(
            check(&attached(939, 1000)),
            Err(TamperError::Moved { apart })
        );
    }

    #[test]
    fn what_aws_does_not_say_is_not_assumed() {
        let error = check(&Instance::default());
        assert_eq!(error, Err(TamperError::Unknown("first network interface")));
    }

    #[test]
    fn an_instance_store_cannot_be_moved() {
        let instance = Instance {
            root_device_type: INSTANCE_STORE.to_owned(),
            ..Instance::default()
        };
        assert_eq!(check(&instance), Ok(()));
    }
}
