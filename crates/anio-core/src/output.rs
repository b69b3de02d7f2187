//! A task's output: serialised once, shared in memory, parsed at most once after a resume.

use std::any::{Any, type_name};
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::OutputError;

/// Builds the list of a mapped task from the outputs of its elements: a typed `Vec<T>`.
pub type Gather = fn(&[Output]) -> Result<Arc<dyn Any + Send + Sync>, OutputError>;

/// A serialised value together with its typed form, shared by all who read it.
///
/// In the process that made it, an output passes to its dependants in memory. Read back from the
/// store it holds only the JSON text; the first reader's parse is kept for the next.
///
/// ```
/// use anio_core::Output;
///
/// let output = Output::new(vec![1, 2, 3])?;
/// assert_eq!(output.json().get(), "[1,2,3]");
/// assert_eq!(*output.get::<Vec<i32>>()?, [1, 2, 3]);
///
/// let read_back = Output::from_json("[1,2,3]")?;
/// assert_eq!(*read_back.get::<Vec<i32>>()?, [1, 2, 3]);
/// assert!(read_back.get::<String>().is_err());
/// # Ok::<(), anio_core::error::OutputError>(())
/// ```
#[derive(Clone)]
pub struct Output(Arc<Inner>);

struct Inner {
    json: OnceLock<Box<RawValue>>,
    typed: OnceLock<Arc<dyn Any + Send + Sync>>,
    elements: Option<(Vec<Output>, Option<Gather>)>,
}

impl Output {
    /// Serialises a value and keeps it.
    ///
    /// # Errors
    /// [`OutputError::Serialize`] when the value has no JSON form (a map with keys that are not
    /// strings, or an error of its own `Serialize`).
    pub fn new<T>(value: T) -> Result<Self, OutputError>
    where
        T: Serialize + Send + Sync + 'static,
    {
        let json = serde_json::value::to_raw_value(&value)
            .map_err(|source| OutputError::Serialize { wanted: type_name::<T>(), source })?;
        Ok(Self::of(json.into(), OnceLock::from(Arc::new(value) as Arc<dyn Any + Send + Sync>), None))
    }

    /// Takes JSON text, as it comes back from the store.
    ///
    /// # Errors
    /// [`OutputError::Parse`] when the text is not JSON.
    pub fn from_json(json: impl Into<String>) -> Result<Self, OutputError> {
        RawValue::from_string(json.into())
            .map(Self::from_raw)
            .map_err(|source| OutputError::Parse { wanted: "JSON", source })
    }

    /// Takes JSON text that is known to be valid.
    pub fn from_raw(json: Box<RawValue>) -> Self {
        Self::of(json.into(), OnceLock::new(), None)
    }

    /// The list of a mapped task's outputs, in the order of the elements; built when first read, by
    /// `gather` in memory where there is one, else by way of the JSON texts.
    pub fn gathered(elements: Vec<Self>, gather: Option<Gather>) -> Self {
        Self::of(OnceLock::new(), OnceLock::new(), Some((elements, gather)))
    }

    /// JSON null.
    pub fn null() -> Self {
        Self::from_raw(RawValue::NULL.to_owned())
    }

    /// Whether it is JSON null.
    pub fn is_null(&self) -> bool {
        self.0.elements.is_none() && self.json().get() == RawValue::NULL.get()
    }

    /// The elements of a list, each as an output; none where the JSON is no list.
    pub fn elements(&self) -> Vec<Self> {
        if let Some((elements, _)) = &self.0.elements {
            return elements.clone();
        }
        let texts = self.parse::<Vec<Box<RawValue>>>().unwrap_or_default();
        texts.into_iter().map(Self::from_raw).collect()
    }

    fn of(
        json: OnceLock<Box<RawValue>>,
        typed: OnceLock<Arc<dyn Any + Send + Sync>>,
        elements: Option<(Vec<Self>, Option<Gather>)>,
    ) -> Self {
        Self(Arc::new(Inner { json, typed, elements }))
    }

    /// The JSON text.
    pub fn json(&self) -> &RawValue {
        self.0.json.get_or_init(|| {
            let (elements, _) = self.0.elements.as_ref().expect("an output has JSON or elements");
            let texts: Vec<&RawValue> = elements.iter().map(Self::json).collect();
            serde_json::value::to_raw_value(&texts).expect("a list of JSON texts is JSON")
        })
    }

    /// The value as a `T`, without a copy when this process made it or has read it before.
    ///
    /// # Errors
    /// [`OutputError::Parse`] when the JSON does not read as a `T`.
    pub fn get<T>(&self) -> Result<Arc<T>, OutputError>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        if let Some(Ok(found)) = self.0.typed.get().map(|typed| Arc::clone(typed).downcast::<T>()) {
            return Ok(found);
        }
        if let (None, Some((elements, Some(gather)))) = (self.0.typed.get(), &self.0.elements) {
            let list = gather(elements)?;
            if let Ok(found) = Arc::clone(self.0.typed.get_or_init(|| list)).downcast::<T>() {
                return Ok(found);
            }
        }
        let parsed = Arc::new(self.parse::<T>()?);
        // Kept for the next reader; a typed form of another type stays, and this one is handed out alone.
        let _ = self.0.typed.set(parsed.clone());
        Ok(parsed)
    }

    /// The value as a `T` of one's own, read from the JSON text.
    ///
    /// # Errors
    /// [`OutputError::Parse`] when the JSON does not read as a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, OutputError> {
        serde_json::from_str(self.json().get())
            .map_err(|source| OutputError::Parse { wanted: type_name::<T>(), source })
    }

    /// The size of the JSON text in bytes; 0 for a list that nobody has read as text yet.
    pub fn n_bytes(&self) -> usize {
        self.0.json.get().map_or(0, |json| json.get().len())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.json.get() {
            Some(json) if json.get().len() <= 120 => f.write_str(json.get()),
            Some(json) => write!(f, "<{} bytes of JSON>", json.get().len()),
            None => f.write_str("<list of outputs>"),
        }
    }
}

impl PartialEq for Output {
    /// Two outputs are equal when their JSON texts are.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.json().get() == other.json().get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_and_not_copied() {
        let output = Output::new(vec![1_u8; 1000]).unwrap();
        let (a, b) = (output.get::<Vec<u8>>().unwrap(), output.get::<Vec<u8>>().unwrap());
        assert!(Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn a_value_read_back_is_parsed_once() {
        let output = Output::from_json("[1,2]").unwrap();
        let (a, b) = (output.get::<Vec<u8>>().unwrap(), output.get::<Vec<u8>>().unwrap());
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(*output.get::<Vec<i64>>().unwrap(), [1, 2]);
    }

    #[test]
    fn a_list_has_its_elements_whether_it_was_gathered_or_read() {
        let gathered = Output::gathered(vec![Output::new(1).unwrap(), Output::new("two").unwrap()], None);
        for list in [gathered, Output::from_json(r#"[1, "two"]"#).unwrap()] {
            assert_eq!(list.elements(), [Output::new(1).unwrap(), Output::new("two").unwrap()]);
        }
        assert_eq!(Output::new("no list").unwrap().elements(), []);
        assert!(Output::new(None::<u32>).unwrap().is_null() && Output::null().is_null());
        assert!(!Output::gathered(Vec::new(), None).is_null());
    }

    #[test]
    fn a_gathered_list_reads_as_json_too() {
        let elements = vec![Output::new(1).unwrap(), Output::from_json("2").unwrap()];
        let gather: Gather = |parts| {
            let list: Result<Vec<i32>, _> = parts.iter().map(|part| part.get::<i32>().map(|x| *x)).collect();
            Ok(Arc::new(list?))
        };
        let list = Output::gathered(elements, Some(gather));
        assert_eq!(*list.get::<Vec<i32>>().unwrap(), [1, 2]);
        assert_eq!(list.json().get(), "[1,2]");
        assert_eq!(list.parse::<Vec<f64>>().unwrap(), [1.0, 2.0]);
    }
}
