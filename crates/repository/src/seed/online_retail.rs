//! A real shop's products, and the real sequence of its orders.
//!
//! *Online Retail* (D. Chen, 2015, UCI Machine Learning Repository, CC BY 4.0) is a year of a
//! British gift retailer. Two files are read, from a folder of the reader's own:
//!
//! | file | columns |
//! | --- | --- |
//! | `products.csv` | `stock_code,name,last_price_gbp` |
//! | `order-lines.csv.xz` (or `order-lines.csv`) | `invoiced_at,invoice,stock_code,quantity,unit_price,customer` |
//!
//! The data set as published is one spreadsheet of order lines; the second file is that sheet
//! in the order of time, the first its products with a name and the last positive price. A
//! negative quantity is a cancellation.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use catalog_domain::{Price, ProductId, ProductName, Sku};
use liblzma::read::XzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::SeedError;
use super::copy::Line;

/// The shop: its products, and what was ordered of them.
#[derive(Debug)]
pub struct OnlineRetail {
    products: Vec<RetailProduct>,
    orders: Vec<OrderLine>,
}

/// A product; its id is its place in [`OnlineRetail::products`], from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetailProduct {
    /// The shop's stock code, which is also the SKU of its one variant.
    pub sku: Sku,
    /// What it is called; its stock code where the file has no name.
    pub name: ProductName,
    /// The last price seen, in pence.
    pub price_minor: i64,
    /// The least stock to begin with that every order can be served from.
    pub stock: i32,
}

/// One line of an order: a look at the page, then a change of stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// Which product.
    pub product: ProductId,
    /// How many pieces; negative for a cancellation.
    pub quantity: i32,
}

#[derive(Deserialize)]
struct ProductRecord {
    stock_code: String,
    name: String,
    last_price_gbp: f64,
}

#[derive(Deserialize)]
struct OrderRecord {
    stock_code: String,
    quantity: i32,
    unit_price: f64,
}

impl OnlineRetail {
    /// Reads both files from `folder`.
    ///
    /// # Errors
    ///
    /// When one is missing or has a line that cannot be read; the message names file and line.
    pub fn open(folder: &Path) -> Result<Self, SeedError> {
        let mut shop = Self { products: Vec::new(), orders: Vec::new() };
        let mut ids: HashMap<String, usize> = HashMap::new();
        let file = folder.join("products.csv");
        read(&file, |record: ProductRecord| {
            ids.insert(record.stock_code.clone(), shop.products.len());
            shop.add(record.stock_code, &record.name, record.last_price_gbp)
        })?;

        let packed = folder.join("order-lines.csv.xz");
        let file = if packed.exists() { packed } else { folder.join("order-lines.csv") };
        // How far each stock would fall from zero, and the lowest point on the way.
        let mut levels: Vec<(i64, i64)> = vec![(0, 0); shop.products.len()];
        read(&file, |record: OrderRecord| {
            let index = match ids.get(&record.stock_code) {
                Some(&index) => index,
                None => {
                    let index = shop.products.len();
                    ids.insert(record.stock_code.clone(), index);
                    levels.push((0, 0));
                    let name = record.stock_code.clone();
                    shop.add(record.stock_code, &name, record.unit_price)?;
                    index
                }
            };
            let (level, lowest) = &mut levels[index];
            *level -= i64::from(record.quantity);
            *lowest = (*lowest).min(*level);
            let id = i64::try_from(index + 1).expect("thousands of products");
            let product = ProductId::try_from(id).expect("counted from 1");
            shop.orders.push(OrderLine { product, quantity: record.quantity });
            Ok(())
        })?;
        for (product, (_, lowest)) in shop.products.iter_mut().zip(levels) {
            product.stock = i32::try_from(-lowest).map_err(|_| SeedError::File {
                file: file.display().to_string(),
                reason: format!("{} is ordered more often than a stock can hold", product.sku),
            })?;
        }
        Ok(shop)
    }

    /// The products, in the order of their ids.
    #[must_use]
    pub fn products(&self) -> &[RetailProduct] {
        &self.products
    }

    /// The order lines, in the order of time.
    #[must_use]
    pub fn orders(&self) -> &[OrderLine] {
        &self.orders
    }

    /// The product of an order line.
    #[must_use]
    pub fn product(&self, line: &OrderLine) -> &RetailProduct {
        let index = usize::try_from(line.product.get() - 1).expect("ids count from 1");
        &self.products[index]
    }

    fn add(&mut self, code: String, name: &str, pounds: f64) -> Result<(), String> {
        let name = if name.trim().is_empty() { code.as_str() } else { name };
        self.products.push(RetailProduct {
            name: ProductName::try_from(name.to_owned()).map_err(|e| format!("name {e}"))?,
            sku: Sku::try_from(code).map_err(|e| format!("stock_code {e}"))?,
            price_minor: pence(pounds),
            stock: 0,
        });
        Ok(())
    }

    pub(super) fn category_rows(&self) -> impl Iterator<Item = Line> + Send + use<> {
        std::iter::once(Line::default().with(1).with("online-retail").with("Online Retail"))
    }

    pub(super) fn product_rows(&self) -> impl Iterator<Item = Line> + Send + '_ {
        (1..).zip(&self.products).map(|(id, product): (u32, _)| {
            Line::default()
                .with(id)
                .with(&product.sku)
                .with(&product.name)
                .with("A product of the Online Retail data set.")
                .with(1)
                .with(product.price_minor)
                .with("GBP")
        })
    }

    pub(super) fn variant_rows(&self) -> impl Iterator<Item = Line> + Send + '_ {
        (1..).zip(&self.products).map(|(id, product): (u32, _)| {
            Line::default().with(id).with(&product.sku).with("standard").with(product.stock)
        })
    }
}

/// Pounds in pence; the file has a few negative "prices" of adjustments, which are no prices.
fn pence(pounds: f64) -> i64 {
    ((pounds * 100.0).round() as i64).clamp(0, Price::MAX_MINOR)
}

/// Hands every record of a CSV file, packed by xz or not, to `take`.
fn read<R: DeserializeOwned>(
    file: &Path,
    mut take: impl FnMut(R) -> Result<(), String>,
) -> Result<(), SeedError> {
    let fail = |reason: String| SeedError::File { file: file.display().to_string(), reason };
    let source = BufReader::new(File::open(file).map_err(|error| fail(error.to_string()))?);
    let packed = file.extension().is_some_and(|extension| extension == "xz");
    let text: Box<dyn Read> =
        if packed { Box::new(XzDecoder::new(source)) } else { Box::new(source) };
    let mut reader = csv::Reader::from_reader(text);
    for (line, record) in (2_u64..).zip(reader.deserialize()) {
        let record = record.map_err(|error| fail(error.to_string()))?;
        take(record).map_err(|problem| fail(format!("line {line}: {problem}")))?;
    }
    Ok(())
}
