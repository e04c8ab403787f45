//! Drivers that the GPU operator rolls out by itself: one NVIDIADriver for each pool. Pure.

use crate::config::Driver;
use crate::mark;
use crate::object::{Key, Kind, Object};
use domain::meta::Uid;
use serde_json::json;

/// The object of a pool, with the version that all its Nodes are to have.
pub fn driver_of(pool: &Uid, version: &str, config: &Driver) -> Object {
    let key = Key::cluster(Kind::NvidiaDriver, &mark::object_name(pool, "-gpu"));
    Object::of_pool(key, pool, pool).with(
        "spec",
        json!({
            "driverType": "gpu",
            "default": false,
            "repository": config.repository,
            "image": config.image,
            "version": version,
            "nodeSelector": {mark::POOL: pool.as_str()},
            "upgradePolicy": config.upgrade_policy,
        }),
    )
}
