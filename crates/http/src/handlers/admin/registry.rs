//! Virtual resource templates, and what networks can be connected to.

use super::{document, own_context, page, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::catalogue::VirtualTemplate;
use domain::network::{PeerSubnet, SfsTurbo};

/// Handlers of one kind of object: how a body is read, how an object is shown, what a list of them is and how one is named.
macro_rules! registry {
    ($module:ident: $object:ty, $view:path, $list:ident, $decode:expr, $id:expr) => {
        pub(crate) mod $module {
            use super::*;
            use $view as View;

            fn id(call: &Call) -> String {
                let id: fn(&Call) -> String = $id;
                id(call)
            }

            pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
                let ctx = own_context(&call)?;
                let outcome = app.service().register::<$object>(&ctx, || $decode(&document(&call)?)).await?;
                Ok(shown(&View::from(outcome.object.as_ref()), outcome.revision))
            }

            pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
                let all = app.service().all_registered::<$object>(&call.principal)?;
                let (metadata, items) = page(&call, all, |found| service::admin::Registered::id(found.as_ref()))?;
                let items = items.iter().map(|found| View::from(found.as_ref())).collect();
                Ok(render::json(&super::$list(metadata, items)))
            }

            pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
                own_context(&call)?;
                let found = app.service().one_registered::<$object>(&call.principal, &id(&call))?;
                Ok(shown(&View::from(found.object.as_ref()), found.revision))
            }

            pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
                let ctx = own_context(&call)?;
                let outcome = app.service().unregister::<$object>(&ctx, &id(&call)).await?;
                Ok(render::json(&View::from(outcome.object.as_ref())))
            }
        }
    };
}

use wire::admin::outside::{PeerSubnetList, PeerSubnetView, SfsTurboList, SfsTurboView};
use wire::list::ListMeta;
use wire::virtual_flavor::{VirtualTemplateList, VirtualTemplateView};

fn templates(metadata: ListMeta, virtual_resource_templates: Vec<VirtualTemplateView>) -> VirtualTemplateList {
    VirtualTemplateList {
        metadata,
        virtual_resource_templates,
    }
}

fn peers(metadata: ListMeta, peer_subnets: Vec<PeerSubnetView>) -> PeerSubnetList {
    PeerSubnetList { metadata, peer_subnets }
}

fn turbos(metadata: ListMeta, sfs_turbos: Vec<SfsTurboView>) -> SfsTurboList {
    SfsTurboList { metadata, sfs_turbos }
}

registry!(
    virtual_templates: VirtualTemplate,
    wire::virtual_flavor::VirtualTemplateView,
    templates,
    |body: &serde_json::Value| wire::virtual_flavor::decode_template(body, None),
    |call| call.param("template_name").to_owned()
);

registry!(
    peer_subnets: PeerSubnet,
    wire::admin::outside::PeerSubnetView,
    peers,
    wire::admin::outside::decode_peer,
    |call| PeerSubnet::id_of(call.param("vpc_id"), call.param("subnet_id"))
);

registry!(
    sfs_turbos: SfsTurbo,
    wire::admin::outside::SfsTurboView,
    turbos,
    wire::admin::outside::decode_turbo,
    |call| call.param("sfs_id").to_owned()
);

/// Puts another template in the place of one.
pub(crate) async fn replace_template(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = |known: &VirtualTemplate| wire::virtual_flavor::decode_template(&document(&call)?, Some(&known.name));
    let outcome = app.service().replace_registered(&ctx, call.param("template_name"), decode).await?;
    Ok(shown(&VirtualTemplateView::from(outcome.object.as_ref()), outcome.revision))
}
