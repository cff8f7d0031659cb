//! A Pod must have the label owner: what the benchmark has every SDK do.

use gatehouse::admission::{Admission, Request, Response};
use gatehouse::{Plugin, Result, Value};

struct Owner;

impl Plugin for Owner {
    fn configure(_settings: Value) -> Result<Self> {
        Ok(Owner)
    }
}

impl Admission for Owner {
    fn admit(&mut self, request: &Request) -> Result<Response> {
        if request.kind() == "Pod" && !request.object("/metadata/labels/owner").exists() {
            return Ok(Response::deny("no owner"));
        }
        Ok(Response::allow())
    }
}

gatehouse::export!(Owner: Admission);
