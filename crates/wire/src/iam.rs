//! Identity bodies in Keystone's form (contract README §6.1, clients §4).
use serde::Serialize;
use utoipa::ToSchema;
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeystoneErrorBody {
    pub error: KeystoneError,
}
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct KeystoneError {
    pub code: u16,
    pub message: String,
    pub title: String,
}
impl KeystoneErrorBody {
    pub fn new(code: u16, message: &str, title: &str) -> Self {
        Self {
            error: KeystoneError {
                code,
                message: message.to_owned(),
                title: title.to_owned(),
            },
        }
    }
}
