//! Request bodies, from bytes to drafts of the domain; every problem names its field.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use bytes::Bytes;
use catalog_domain::{
    Currency, Field, NewProduct, NewReview, NewVariant, Price, Problems, ProductId, ProductPatch,
    ProductReplacement, Rating, Sku, Stock, StockChange, StockDelta,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::app::State;
use crate::problem::Problem;

/// A request body, or why it could not be read.
pub(crate) struct Body(Result<Bytes, Problem>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceBody {
    minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantBody {
    sku: String,
    name: String,
    stock: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StockBody {
    sku: String,
    stock: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeltaBody {
    sku: String,
    delta: i32,
}

/// The body of `PUT /products/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplacementBody {
    name: String,
    #[serde(default)]
    description: String,
    category: String,
    price: PriceBody,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    variants: Vec<VariantBody>,
    #[serde(default)]
    related: Vec<i64>,
}

/// The body of `POST /products`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductBody {
    sku: String,
    name: String,
    #[serde(default)]
    description: String,
    category: String,
    price: PriceBody,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    variants: Vec<VariantBody>,
    #[serde(default)]
    related: Vec<i64>,
}

/// The body of `PATCH /products/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchBody {
    price: Option<PriceBody>,
    #[serde(default)]
    stock: Vec<StockBody>,
    #[serde(default)]
    stock_delta: Vec<DeltaBody>,
}

/// The body of `POST /products/{id}/reviews`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewBody {
    rating: i64,
    title: String,
    #[serde(default)]
    body: String,
    author: String,
}

impl FromRequest for Body {
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Infallible>>>>;

    /// A client that sends its body too slowly is not waited for.
    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<Data<State>>().expect("every worker has the state");
        let limit = Duration::from_millis(state.config.server.client_request_timeout_ms);
        let body = tokio::time::timeout(limit, Bytes::from_request(request, payload));
        Box::pin(async move {
            Ok(Self(match body.await {
                Ok(body) => body.map_err(|error| unread(&error)),
                Err(_elapsed) => {
                    Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"))
                }
            }))
        })
    }
}

fn unread(error: &actix_web::Error) -> Problem {
    let status = error.as_response_error().status_code();
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than the service takes",
        _ => "the body could not be read",
    };
    Problem::new(status, detail)
}

/// Reads a JSON body; says in which field it is wrong.
pub(crate) fn json<T: DeserializeOwned>(request: &HttpRequest, body: Body) -> Result<T, Problem> {
    let Body(body) = body;
    let body = body?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = "the body must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let mut reader = serde_json::Deserializer::from_slice(&body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        Problem::field(field_of(&path, &message), message)
    })?;
    reader.end().map_err(|error| Problem::field("body", error.to_string()))?;
    Ok(read)
}

/// The field that a body is wrong in. The path ends at the object in which a field is missing;
/// the message names it. The path of a body that is no JSON at all is a dot.
fn field_of(path: &str, message: &str) -> String {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (path, missing) {
        (".", Some(field)) => field.to_owned(),
        (".", None) => "body".to_owned(),
        (path, Some(field)) => format!("{path}.{field}"),
        (path, None) => path.to_owned(),
    }
}

/// Reads the id in a path.
pub(crate) fn id(text: &str) -> Result<ProductId, Problem> {
    text.parse().map_err(|message: String| Problem::field("id", message))
}

impl PriceBody {
    fn check(self, problems: &mut Problems) -> Option<Price> {
        let currency = problems.check("price.currency", Currency::try_from(self.currency))?;
        problems.check("price.minor", Price::new(self.minor, currency))
    }
}

impl ReplacementBody {
    fn check(self, problems: &mut Problems) -> Option<ProductReplacement> {
        // Each is checked before any is missed: all problems are told at once.
        let name = problems.check("name", self.name.try_into());
        let description = problems.check("description", self.description.try_into());
        let category = problems.check("category", self.category.try_into());
        let price = self.price.check(problems);
        let attributes = problems.check("attributes", self.attributes.try_into());
        let variants = each(self.variants, |index, variant| {
            let field = Field { list: "variants", index };
            let sku = problems.check(&field.part("sku"), variant.sku.try_into());
            let name = problems.check(&field.part("name"), variant.name.try_into());
            let stock = problems.check(&field.part("stock"), Stock::try_from(variant.stock));
            Some(NewVariant { sku: sku?, name: name?, stock: stock? })
        });
        let related = each(self.related, |index, id| {
            problems.check(&format!("related[{index}]"), ProductId::try_from(id))
        });
        let content = ProductReplacement {
            name: name?,
            description: description?,
            category: category?,
            price: price?,
            attributes: attributes?,
            variants: variants?,
            related: related?,
        };
        content.check(problems);
        Some(content)
    }

    pub(crate) fn into_draft(self) -> Result<ProductReplacement, Problem> {
        let mut problems = Problems::default();
        let content = self.check(&mut problems);
        Ok(problems.finish(content)?)
    }
}

impl ProductBody {
    pub(crate) fn into_draft(self) -> Result<NewProduct, Problem> {
        let mut problems = Problems::default();
        let sku = problems.check("sku", Sku::try_from(self.sku));
        let content = ReplacementBody {
            name: self.name,
            description: self.description,
            category: self.category,
            price: self.price,
            attributes: self.attributes,
            variants: self.variants,
            related: self.related,
        }
        .check(&mut problems);
        let product = sku.zip(content).map(|(sku, content)| NewProduct { sku, content });
        Ok(problems.finish(product)?)
    }
}

impl PatchBody {
    pub(crate) fn into_draft(self) -> Result<ProductPatch, Problem> {
        let mut problems = Problems::default();
        let price = self.price.map(|price| price.check(&mut problems));
        let stock = each(self.stock, |index, change| {
            let field = Field { list: "stock", index };
            let sku = problems.check(&field.part("sku"), change.sku.try_into());
            let stock = problems.check(&field.part("stock"), Stock::try_from(change.stock));
            Some(StockChange { sku: sku?, stock: stock? })
        });
        let stock_delta = each(self.stock_delta, |index, change| {
            let field = Field { list: "stock_delta", index }.part("sku");
            let sku = problems.check(&field, change.sku.try_into());
            Some(StockDelta { sku: sku?, delta: change.delta })
        });
        let patch = stock.zip(stock_delta).map(|(stock, stock_delta)| ProductPatch {
            price: price.flatten(),
            stock,
            stock_delta,
        });
        if let Some(patch) = &patch
            && problems.0.is_empty()
        {
            patch.check(&mut problems);
        }
        Ok(problems.finish(patch)?)
    }
}

impl ReviewBody {
    pub(crate) fn into_draft(self) -> Result<NewReview, Problem> {
        let mut problems = Problems::default();
        let rating = problems.check("rating", Rating::try_from(self.rating));
        let title = problems.check("title", self.title.try_into());
        let body = problems.check("body", self.body.try_into());
        let author = problems.check("author", self.author.try_into());
        let review = rating.zip(title).zip(body).zip(author);
        let review = review.map(|(((rating, title), body), author)| NewReview {
            rating,
            title,
            body,
            author,
        });
        Ok(problems.finish(review)?)
    }
}

/// Converts every element, also after one that cannot be: its neighbours' problems count, too.
fn each<S, T>(list: Vec<S>, mut convert: impl FnMut(usize, S) -> Option<T>) -> Option<Vec<T>> {
    let converted: Vec<Option<T>> =
        list.into_iter().enumerate().map(|(index, item)| convert(index, item)).collect();
    converted.into_iter().collect()
}
