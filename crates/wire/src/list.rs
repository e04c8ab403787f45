//! Lists: envelopes around items that are already rendered, and the tokens that lead from page to page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use utoipa::ToSchema;

/// Where a page ended: the key of its last item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContinueToken {
    /// Seconds since the epoch.
    pub created: i64,
    pub name: String,
}

impl ContinueToken {
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}/{}", self.created, self.name))
    }

    pub fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created, name) = plain.split_once('/')?;
        Some(Self {
            created: created.parse().ok()?,
            name: name.to_owned(),
        })
    }

    /// Whether an item with this key comes after one with the other in list order: newest first, then by name.
    pub fn is_after(&self, other: &Self) -> bool {
        (std::cmp::Reverse(self.created), &self.name) > (std::cmp::Reverse(other.created), &other.name)
    }
}

/// `metadata` of a list; empty on the last page.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListMeta {
    #[serde(rename = "continue", skip_serializing_if = "Option::is_none")]
    pub continue_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<usize>,
}

impl ListMeta {
    pub fn of(next: Option<(ContinueToken, usize)>) -> Self {
        next.map_or_else(Self::default, |(token, remaining)| Self {
            continue_token: Some(token.encode()),
            remaining_item_count: Some(remaining),
        })
    }
}

/// A list of rendered items, without parsing or serialising them again.
pub fn join<B: AsRef<[u8]>>(kind: &str, api_version: &str, metadata: Option<&ListMeta>, items: &[B]) -> bytes::Bytes {
    concat(&head(kind, api_version, metadata), items, "]}")
}

/// As [`join`], with the number of items over all pages behind them.
pub fn join_total<B: AsRef<[u8]>>(kind: &str, api_version: &str, metadata: &impl Serialize, items: &[B], total: usize) -> bytes::Bytes {
    concat(&head(kind, api_version, Some(metadata)), items, &format!("],\"total\":{total}}}"))
}

/// `{"count":N,"items":[…]}`
pub fn join_counted<B: AsRef<[u8]>>(count: usize, items: &[B]) -> bytes::Bytes {
    concat(&format!("{{\"count\":{count},\"items\":["), items, "]}")
}

fn head(kind: &str, api_version: &str, metadata: Option<&impl Serialize>) -> String {
    let metadata = metadata
        .and_then(|metadata| serde_json::to_string(metadata).ok())
        .map_or_else(String::new, |text| format!("\"metadata\":{text},"));
    format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",{metadata}\"items\":[")
}

fn concat<B: AsRef<[u8]>>(head: &str, items: &[B], tail: &str) -> bytes::Bytes {
    let size = head.len() + tail.len() + items.iter().map(|item| item.as_ref().len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(head.as_bytes());
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item.as_ref());
    }
    body.extend_from_slice(tail.as_bytes());
    body.into()
}

macro_rules! lists {
    ($($name:ident of $item:ty;)+) => {$(
        #[derive(Debug, Clone, Serialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            pub kind: String,
            pub api_version: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub metadata: Option<ListMeta>,
            pub items: Vec<$item>,
        }
    )+};
}

lists! {
    PoolList of crate::pool::Pool;
    NodeList of crate::node::Node;
    NetworkList of crate::network::Network;
    ResourceFlavorList of crate::flavor::ResourceFlavor;
    PluginList of crate::plugin::Plugin;
    PluginTemplateList of crate::plugin::PluginTemplate;
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderList {
    pub count: usize,
    pub items: Vec<crate::order::Order>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OrderItemList {
    pub count: usize,
    pub items: Vec<crate::order::OrderItem>,
}

#[cfg(test)]
mod tests;
