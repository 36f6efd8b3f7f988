//! An endpoint: what answers it, and what is said of it in the OpenAPI document. One value has both, so that neither is forgotten.
use super::{Api, problem::Problem};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

type Describe = fn(&mut SchemaGenerator) -> Schema;

/// What an answer has.
#[derive(Clone, Copy, Debug)]
enum Content {
    Nothing,
    Json(Describe),
    /// Anything of one of these types.
    Bytes(&'static [&'static str]),
    /// Server-sent events, each of one of these two.
    Events(Describe, Describe),
}

/// One method of one path.
pub(super) struct Endpoint {
    method: Method,
    path: &'static str,
    id: &'static str,
    about: &'static str,
    handler: MethodRouter<Api>,
    query: Option<Describe>,
    body: Option<Describe>,
    headers: &'static [(&'static str, &'static str)],
    /// Whether a token may be needed only by configuration.
    may_be_open: bool,
    answers: Vec<(u16, Content)>,
}

fn describe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Endpoint {
    /// `about` is its method and path, the name of the operation, and what it does.
    pub(super) fn new<H: Handler<T, Api>, T: 'static>(
        (filter, path): (MethodFilter, &'static str),
        (id, about): (&'static str, &'static str),
        handler: H,
    ) -> Self {
        let methods = [
            (MethodFilter::GET, Method::GET),
            (MethodFilter::POST, Method::POST),
            (MethodFilter::PUT, Method::PUT),
            (MethodFilter::DELETE, Method::DELETE),
        ];
        let method = methods.into_iter().find(|(of, _)| *of == filter).map_or(Method::GET, |(_, method)| method);
        let (query, body, headers, answers) = (None, None, &[][..], Vec::new());
        Self {
            method,
            path,
            id,
            about,
            handler: on(filter, handler),
            query,
            body,
            headers,
            may_be_open: false,
            answers,
        }
    }

    /// Is for everybody, where it is so configured.
    pub(super) fn may_be_open(self) -> Self {
        Self { may_be_open: true, ..self }
    }

    /// Reads these parameters.
    pub(super) fn query<Q: JsonSchema>(self) -> Self {
        Self { query: Some(describe::<Q>), ..self }
    }

    /// Reads this body.
    pub(super) fn body<B: JsonSchema>(self) -> Self {
        Self { body: Some(describe::<B>), ..self }
    }

    /// Reads these headers, each with what it says.
    pub(super) fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// Answers with this.
    pub(super) fn json<A: JsonSchema>(self, status: u16) -> Self {
        self.answer(status, Content::Json(describe::<A>))
    }

    /// Answers with bytes of one of these types.
    pub(super) fn bytes(self, status: u16, types: &'static [&'static str]) -> Self {
        self.answer(status, Content::Bytes(types))
    }

    /// Answers with server-sent events, whose `data` is one of these.
    pub(super) fn events<A: JsonSchema, B: JsonSchema>(self, status: u16) -> Self {
        self.answer(status, Content::Events(describe::<A>, describe::<B>))
    }

    /// Answers without a body.
    pub(super) fn nothing(self, status: u16) -> Self {
        self.answer(status, Content::Nothing)
    }

    fn answer(mut self, status: u16, content: Content) -> Self {
        self.answers.push((status, content));
        self
    }

    fn operation(&self, generator: &mut SchemaGenerator) -> Value {
        let mut parameters: Vec<Value> = names(self.path)
            .map(|name| {
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "format": "uuid" } })
            })
            .collect();
        parameters.extend(self.query.iter().flat_map(|query| query_parameters(query(generator), generator)));
        parameters.extend(self.headers.iter().map(|(name, about)| header(name, about)));
        if self.method == Method::POST {
            parameters.push(header(
                "Idempotency-Key",
                "The same key with the same request is done once and answered alike, for 24 hours.",
            ));
        }
        let mut answers: Map<String, Value> =
            self.answers.iter().map(|(status, content)| (status.to_string(), answer(*content, generator))).collect();
        let problem = generator.subschema_for::<Problem>();
        let content = json!({ super::problem::KIND: { "schema": problem } });
        answers.insert("default".into(), json!({ "description": "Why it was not done.", "content": content }));
        let mut operation = json!({
            "operationId": self.id,
            "summary": self.about,
            "parameters": parameters,
            "responses": answers,
            "security": if self.may_be_open { json!([{}, { "token": [] }]) } else { json!([{ "token": [] }]) },
        });
        if let (Some(body), Some(object)) = (self.body, operation.as_object_mut()) {
            let content = json!({ "application/json": { "schema": body(generator) } });
            object.insert("requestBody".into(), json!({ "required": true, "content": content }));
        }
        operation
    }
}

/// The parameters in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn header(name: &str, about: &str) -> Value {
    let schema = json!({ "type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": 255 });
    json!({ "name": name, "in": "header", "required": false, "description": about, "schema": schema })
}

/// Each member of the query's object is a parameter.
fn query_parameters(schema: Schema, generator: &mut SchemaGenerator) -> Vec<Value> {
    let referred = schema.as_value()["$ref"].as_str().and_then(|to| to.rsplit('/').next()).map(str::to_owned);
    // What is taken out of the definitions is there only for this.
    let object = match referred {
        Some(name) => generator.definitions_mut().remove(&name).unwrap_or_default(),
        None => schema.to_value(),
    };
    let required = |name: &str| object["required"].as_array().is_some_and(|all| all.iter().any(|of| of == name));
    let parameter = |(name, schema): (&String, &Value)| {
        let required = required(name);
        let mut schema = schema.clone();
        let described = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        // Absent is absent: there is no null in a query.
        if let Some(kind) = schema.get_mut("type").filter(|kind| kind.is_array()) {
            *kind = kind[0].clone();
        }
        json!({ "name": name, "in": "query", "required": required, "description": described, "schema": schema })
    };
    object["properties"].as_object().into_iter().flatten().map(parameter).collect()
}

fn answer(content: Content, generator: &mut SchemaGenerator) -> Value {
    let description = "Done.";
    match content {
        Content::Nothing => json!({ "description": description }),
        Content::Json(schema) => {
            json!({ "description": description, "content": { "application/json": { "schema": schema(generator) } } })
        }
        Content::Events(one, other) => {
            // OpenAPI 3.1 has no word for what goes on: the answer is a text, and this is in each `data` of it.
            let schema = json!({
                "type": "string",
                "description": "Server-sent events; `data` of each is JSON of this schema.",
                "contentMediaType": "application/json",
                "contentSchema": { "anyOf": [one(generator), other(generator)] },
            });
            json!({ "description": description, "content": { "text/event-stream": { "schema": schema } } })
        }
        Content::Bytes(types) => {
            let content: Map<String, Value> = types.iter().map(|kind| ((*kind).to_owned(), json!({}))).collect();
            json!({ "description": description, "content": content })
        }
    }
}

/// All of them as routes.
pub(super) fn routes(endpoints: Vec<Endpoint>) -> Router<Api> {
    endpoints.into_iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.handler))
}

/// All of them as an OpenAPI 3.1 document.
pub(super) fn document(endpoints: &[Endpoint]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = endpoint.operation(&mut generator);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Ramal",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What is kept of a tenant, and the calls it has. See docs/api.md.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "ramal_ID_SECRET" } },
        },
    })
}
