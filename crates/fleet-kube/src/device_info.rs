//! What Huawei's device plug-in says of sick NPUs, in a ConfigMap for each Node. Pure.
//!
//! The form differs from release to release: a JSON text under `DeviceInfoCfg`, with lists of devices under resource names that end in
//! `-Unhealthy` or `-NetworkUnhealthy`, at some depth, some of them JSON in a text again. So they are looked for everywhere, and what
//! cannot be read says nothing.

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use std::collections::BTreeSet;

const KEY: &str = "DeviceInfoCfg";
/// Deeper than any release nests; what is deeper is not looked at.
const DEPTH: usize = 8;

/// Which devices of a Node are sick, in words. `None`: none, as far as can be told.
pub fn complaint(info: &ConfigMap) -> Option<String> {
    let text = info.data.as_ref()?.get(KEY)?;
    let mut found = BTreeSet::new();
    gather(&serde_json::from_str(text).ok()?, DEPTH, &mut found);
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join("; "))
}

fn gather(value: &Value, depth: usize, found: &mut BTreeSet<String>) {
    if depth == 0 {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match is_complaint(name).then(|| devices(inner)).filter(|devices| !devices.is_empty()) {
                    Some(devices) => drop(found.insert(format!("{name}: {devices}"))),
                    None => gather(inner, depth - 1, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|inner| gather(inner, depth - 1, found)),
        Value::String(text) => {
            // Only what may be an object is worth reading.
            if text.trim_start().starts_with('{')
                && let Ok(inner) = serde_json::from_str::<Value>(text)
            {
                gather(&inner, depth - 1, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_complaint(name: &str) -> bool {
    name.starts_with("huawei.com/") && (name.ends_with("-Unhealthy") || name.ends_with("-NetworkUnhealthy"))
}

/// The devices of a list, however it is written.
fn devices(value: &Value) -> String {
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(list @ Value::Array(_)) => devices(&list),
            Ok(_) | Err(_) => text.trim().to_owned(),
        },
        Value::Array(all) => {
            let names = all.iter().filter_map(Value::as_str).map(str::trim).filter(|name| !name.is_empty());
            names.collect::<Vec<_>>().join(",")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn told(text: &str) -> Option<String> {
        let map = json!({"metadata": {"name": "mindx-dl-deviceinfo-a"}, "data": {KEY: text}});
        complaint(&serde_json::from_value(map).unwrap())
    }

    #[test]
    fn sick_devices_are_found_in_every_form() {
        let lists = |unhealthy: Value, network: Value| json!({"huawei.com/Ascend910": "Ascend910-0,Ascend910-1", "huawei.com/Ascend910-Unhealthy": unhealthy, "huawei.com/Ascend910-NetworkUnhealthy": network});
        let wrapped =
            |lists: Value| json!({"DeviceInfo": {"DeviceList": lists, "UpdateTime": 1_690_000_000}, "CheckCode": "ab"}).to_string();
        assert_eq!(told(&wrapped(lists(json!(""), json!("")))), None);
        assert_eq!(told(&wrapped(lists(json!("[]"), json!([])))), None);
        let one = Some("huawei.com/Ascend910-Unhealthy: Ascend910-3".to_owned());
        for form in [json!("Ascend910-3"), json!(["Ascend910-3"]), json!("[\"Ascend910-3\"]")] {
            assert_eq!(told(&wrapped(lists(form, json!("")))), one);
        }
        let nested = json!({"DeviceInfo": lists(json!(""), json!("Ascend910-1,Ascend910-2")).to_string()}).to_string();
        assert_eq!(
            told(&nested),
            Some("huawei.com/Ascend910-NetworkUnhealthy: Ascend910-1,Ascend910-2".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{\"huawei.com/Ascend910-Unhealthy\": 3}",
            "{\"nvidia.com/gpu-Unhealthy\": \"0\"}",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(complaint(&ConfigMap::default()), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in ".{0,200}") {
            told(&text);
        }
    }
}
