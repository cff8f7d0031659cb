//! A gatehouse plugin: nobody runs an image that may be another one tomorrow.

use std::collections::HashSet;

use gatehouse::admission::{Admission, Request, Response};
use gatehouse::{Plugin, Result, Value};

/// What the server asks about when its operator says nothing: the module's section of that name.
#[used]
#[link_section = "gatehouse_plugin_v1"]
static AUTHOR: [u8; include_bytes!("../plugin.yaml").len()] = *include_bytes!("../plugin.yaml");

struct NoLatest {
    /// What the names of images begin with that may be had by any tag.
    exempt: Vec<String>,
}

impl Plugin for NoLatest {
    fn configure(settings: Value) -> Result<Self> {
        let mut exempt = Vec::new();
        for (key, value) in settings.members() {
            if key != "exempt" {
                return Err(format!("unknown setting: {key}").into());
            }
            for prefix in value.items() {
                exempt.push(prefix.string().ok_or("exempt: is no list of texts")?.to_owned());
            }
        }
        Ok(NoLatest { exempt })
    }
}

impl Admission for NoLatest {
    fn admit(&mut self, request: &Request) -> Result<Response> {
        let spec = match pod_spec(&request.kind()) {
            Some(spec) => spec,
            None => return Ok(Response::allow()),
        };
        let mut floating = images(|path| request.object(path), spec);
        floating.retain(|image| is_floating(image) && !self.exempt.iter().any(|prefix| image.starts_with(prefix)));
        if !floating.is_empty() && request.operation() == "UPDATE" {
            // What runs already can be labelled, and deleted once its finalizers are gone.
            let old: HashSet<String> = images(|path| request.old_object(path), spec).into_iter().collect();
            floating.retain(|image| !old.contains(image));
        }
        if floating.is_empty() {
            return Ok(Response::allow());
        }
        Ok(Response::deny(format!("images must have a tag other than latest, or a digest: {}", floating.join(", "))))
    }
}

/// Where an object of a kind has the specification of its Pods.
fn pod_spec(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some("/spec"),
        "CronJob" => Some("/spec/jobTemplate/spec/template/spec"),
        "PodTemplate" => Some("/template/spec"),
        "DaemonSet" | "Deployment" | "Job" | "ReplicaSet" | "ReplicationController" | "StatefulSet" => {
            Some("/spec/template/spec")
        }
        _ => None,
    }
}

/// The images of all containers.
fn images(object: impl Fn(&str) -> Value, spec: &str) -> Vec<String> {
    let mut images = Vec::new();
    for containers in ["containers", "initContainers", "ephemeralContainers"] {
        for i in 0.. {
            let container = format!("{spec}/{containers}/{i}");
            let image = object(&format!("{container}/image"));
            if !image.exists() && !object(&container).exists() {
                break;
            }
            images.push(image.into_text());
        }
    }
    images
}

/// Reports whether a name stands for different images at different times: without a digest, and with the tag latest or none.
fn is_floating(image: &str) -> bool {
    if image.is_empty() || image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image); // a colon before the last slash is a port's
    last.split_once(':').map_or(true, |(_, tag)| tag == "latest")
}

gatehouse::export!(NoLatest: Admission);
