//! Names in sight: locals in a chain, then the instance's names, then the file's.
//!
//! Invariant: a binding never moves. `let` adds a link, the end of a block forgets links, and `=` writes the cell of the
//! link that the name means, so closures made earlier see it.

use std::cell::RefCell;
use std::rc::Rc;

use super::value::{Instance, Value};

/// Where a piece of spec text stands when it is evaluated.
#[derive(Clone)]
pub struct Env<'a> {
    pub locals: Locals<'a>,
    pub instance: Option<Rc<Instance<'a>>>,
    pub file: usize,
}

#[derive(Clone, Default)]
pub struct Locals<'a>(Option<Rc<Link<'a>>>);

pub struct Link<'a> {
    pub name: Rc<str>,
    pub value: RefCell<Value<'a>>,
    /// The depth of the graph frame in which it was bound.
    pub frame: usize,
    next: RefCell<Option<Rc<Link<'a>>>>,
}

impl<'a> Locals<'a> {
    pub fn bind(&mut self, name: &str, value: Value<'a>, frame: usize) {
        let link = Link::new(Rc::from(name), value, frame);
        link.next.replace(self.0.take());
        self.0 = Some(Rc::new(link));
    }

    pub fn find(&self, name: &str) -> Option<Rc<Link<'a>>> {
        let mut at = self.0.clone();
        while let Some(link) = at {
            if &*link.name == name {
                return Some(link);
            }
            at = link.next.borrow().clone();
        }
        None
    }

    pub fn names(&self) -> Vec<Rc<str>> {
        let (mut names, mut at) = (Vec::new(), self.0.clone());
        while let Some(link) = at {
            names.push(link.name.clone());
            at = link.next.borrow().clone();
        }
        names
    }
}

impl<'a> Link<'a> {
    /// A cell that stands in no chain.
    pub fn new(name: Rc<str>, value: Value<'a>, frame: usize) -> Link<'a> {
        Link { name, value: RefCell::new(value), frame, next: RefCell::new(None) }
    }
}

/// A long chain must not be dropped by recursion.
impl Drop for Link<'_> {
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(link) = next {
            next = match Rc::try_unwrap(link) {
                Ok(link) => link.next.take(),
                Err(_) => None,
            };
        }
    }
}

impl<'a> Env<'a> {
    /// Locals, and what the instance knows.
    pub fn names(&self) -> Vec<Rc<str>> {
        let mut names = self.locals.names();
        names.extend(
            self.instance.iter().flat_map(|instance| instance.names.borrow().keys().cloned().collect::<Vec<_>>()),
        );
        names.sort_unstable();
        names
    }

    pub fn of_file(file: usize) -> Env<'a> {
        Env { locals: Locals::default(), instance: None, file }
    }

    pub fn of_instance(instance: &Rc<Instance<'a>>) -> Env<'a> {
        let file = instance.constructor.file;
        Env { locals: Locals::default(), instance: Some(instance.clone()), file }
    }
}
