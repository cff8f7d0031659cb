//! A policy by Kubewarden's SDK for Rust: Pods belong to the owner of their Namespace. They get its label, and where it has none they
//! are refused.

use kubewarden_policy_sdk::request::ValidationRequest;
use kubewarden_policy_sdk::settings::Validatable;
use kubewarden_policy_sdk::{accept_request, mutate_request, protocol_version_guest, reject_request, validate_settings};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use wapc_guest::prelude::{host_call, register_function, CallResult};

/// The operator's.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The label that names the owner.
    label: String,
}

impl Validatable for Settings {
    fn validate(&self) -> Result<(), String> {
        if self.label.is_empty() {
            return Err("label: is empty".to_owned());
        }
        Ok(())
    }
}

#[no_mangle]
pub extern "C" fn wapc_init() {
    register_function("validate", validate);
    register_function("validate_settings", validate_settings::<Settings>);
    register_function("protocol_version", protocol_version_guest);
}

fn validate(payload: &[u8]) -> CallResult {
    let asked: ValidationRequest<Settings> = ValidationRequest::new(payload)?;
    let label = asked.settings.label;
    let question = json!({"api_version": "v1", "kind": "Namespace", "name": asked.request.namespace, "disable_cache": false});
    let namespace: Value =
        serde_json::from_slice(&host_call("kubewarden", "kubernetes", "get_resource", question.to_string().as_bytes())?)?;
    let owner = match namespace["metadata"]["labels"][&label].as_str() {
        Some(owner) => owner,
        None => {
            let message = format!("the namespace {} has no label {label}", asked.request.namespace);
            return reject_request(Some(message), Some(403), None, None);
        }
    };
    let mut pod = asked.request.object;
    if pod.pointer("/metadata/labels").and_then(|labels| labels.get(&label)) == Some(&Value::from(owner)) {
        return accept_request();
    }
    let labels = &mut pod["metadata"]["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[&label] = owner.into();
    mutate_request(pod)
}
