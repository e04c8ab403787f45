//! Plug-ins and their templates (contract `plugins.md`).

use super::pools::pool_name;
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::field::FieldErrors;
use domain::plugin::Plugin;
use service::Outcome;
use service::plugins::PluginWish;
use wire::plugin::{self as body, Wanted};

fn wish(wanted: Wanted) -> PluginWish {
    PluginWish {
        version: wanted.version,
        inputs: wanted.inputs,
    }
}

fn rendered(outcome: &Outcome<Plugin>) -> Response {
    render::tagged(render::encode(&body::Plugin::from(outcome.object.as_ref())), outcome.revision)
}

pub(crate) async fn templates(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let query = call.query()?;
    let sent = |name: &str| query.get(name).filter(|text| !text.is_empty());
    let found = app.service().list_plugin_templates(&ctx, sent("templateName"), sent("poolName"))?;
    let items: Vec<_> = found
        .iter()
        .map(|template| render::encode(&body::PluginTemplate::from(template.as_ref())))
        .collect();
    Ok(render::bytes(wire::list::join("PluginTemplateList", "v2", None, &items)))
}

pub(crate) async fn template(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app
        .service()
        .show_plugin_template(&call.context()?, call.param("plugintemplate_name"))?;
    Ok(render::json(&body::ShownTemplate::from(found.as_ref())))
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let decode = || body::decode_create(&call.json()?).map(|(name, wanted)| (name, wish(wanted)));
    Ok(rendered(&app.service().create_plugin(&ctx, &pool_name(&call)?, decode).await?))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let entries = app.service().list_plugins(&call.context()?, &pool_name(&call)?)?;
    let items: Vec<_> = entries.iter().map(|entry| render::object(entry)).collect();
    Ok(render::bytes(wire::list::join("PluginList", "v2", None, &items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let found = app
        .service()
        .show_plugin(&call.context()?, &pool_name(&call)?, call.param("template_name"))?;
    let mut errors = FieldErrors::new();
    let is_detailed = call.query()?.boolean("detail", &mut errors).unwrap_or(false);
    errors.into_result()?;
    if !is_detailed {
        return Ok(render::entry(&found.entry));
    }
    let objects = app.service().plugin_objects(&found).await?;
    let mut shown = body::Plugin::from(found.object.as_ref());
    shown.status.resources = Some(objects.into_iter().map(resource).collect());
    Ok(render::tagged(render::encode(&shown), Some(found.revision())))
}

fn resource(object: fleet::PluginObject) -> body::PluginResource {
    body::PluginResource {
        involved_object: body::InvolvedObject {
            kind: object.kind,
            api_version: object.api_version,
            namespace: object.namespace,
            name: object.name,
            uid: object.uid.hyphenated(),
            resource_version: object.resource_version,
        },
        replicas: object.replicas,
        limits: object.limits,
        requests: object.requests,
    }
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let decode = |plugin: &Plugin| body::decode_patch(plugin, &call.json()?).map(wish);
    let outcome = app
        .service()
        .patch_plugin(&ctx, &pool_name(&call)?, call.param("template_name"), decode)
        .await?;
    let shown = body::PatchedPlugin {
        spec: body::PluginSpec::from(outcome.object.as_ref()),
    };
    Ok(render::tagged(render::encode(&shown), outcome.revision))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = call.context()?;
    let outcome = app
        .service()
        .delete_plugin(&ctx, &pool_name(&call)?, call.param("template_name"))
        .await?;
    Ok(rendered(&outcome))
}
