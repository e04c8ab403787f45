//! The catalogue of plug-in templates and their versions.

use super::{document, own_context, page, shown};
use crate::app::App;
use crate::call::Call;
use crate::error::ApiError;
use crate::render;
use axum::extract::State;
use axum::response::Response;
use domain::name::TemplateName;
use domain::plugin::PluginTemplate;
use service::admin::{TemplateDraft, VersionDraft};
use service::{Outcome, ServiceError};
use wire::admin::TemplateList;
use wire::admin::template::{
    TemplateRequest, TemplateView, VersionList, VersionRequest, VersionView, decode_create, decode_patch, decode_version,
};

fn template_name(call: &Call) -> Result<TemplateName, ApiError> {
    call.name("template_name", TemplateName::parse, || {
        ServiceError::named("Plugintemplate", call.param("template_name"))
    })
}

fn draft(request: TemplateRequest) -> TemplateDraft {
    TemplateDraft {
        display_name: request.display_name,
        description: request.description,
        kind: request.kind,
        is_optional: request.is_optional,
        logo_url: request.logo_url,
        versions: request.versions.into_iter().map(version_draft).collect(),
    }
}

fn version_draft(request: VersionRequest) -> VersionDraft {
    VersionDraft {
        version: request.version,
        description: request.description,
        detail: request.detail,
        inputs: request.inputs,
        translate: request.translate,
    }
}

fn rendered(outcome: &Outcome<PluginTemplate>) -> Response {
    shown(&TemplateView::from(outcome.object.as_ref()), outcome.revision)
}

pub(crate) async fn create(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = || {
        let request = decode_create(&document(&call)?)?;
        Ok((request.name.clone(), draft(request)))
    };
    Ok(rendered(&app.service().create_template(&ctx, decode).await?))
}

pub(crate) async fn list(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let all = app.service().all_templates(&call.principal)?;
    let (metadata, items) = page(&call, all, |template| template.name.to_string())?;
    let items = items.iter().map(|template| TemplateView::from(template.as_ref())).collect();
    Ok(render::json(&TemplateList::of(metadata, items)))
}

pub(crate) async fn show(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    Ok(rendered(&app.service().template(&call.principal, &template_name(&call)?)?))
}

pub(crate) async fn update(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let edit = |current: &PluginTemplate| Ok(draft(decode_patch(current, &document(&call)?)?));
    Ok(rendered(&app.service().update_template(&ctx, &template_name(&call)?, edit).await?))
}

pub(crate) async fn remove(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let outcome = app.service().delete_template(&ctx, &template_name(&call)?).await?;
    Ok(render::json(&TemplateView::from(outcome.object.as_ref())))
}

pub(crate) async fn versions(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    own_context(&call)?;
    let found = app.service().template(&call.principal, &template_name(&call)?)?;
    let versions = found.object.versions.iter().map(VersionView::from).collect();
    Ok(shown(&VersionList { versions }, found.revision))
}

pub(crate) async fn add_version(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let decode = || Ok(version_draft(decode_version(&document(&call)?)?));
    let outcome = app.service().add_template_version(&ctx, &template_name(&call)?, decode).await?;
    Ok(rendered(&outcome))
}

pub(crate) async fn remove_version(State(app): State<App>, call: Call) -> Result<Response, ApiError> {
    let ctx = own_context(&call)?;
    let name = template_name(&call)?;
    let outcome = app.service().remove_template_version(&ctx, &name, call.param("version")).await?;
    Ok(rendered(&outcome))
}
