//! From nodes to kernels: each distinct node is scheduled once, each distinct kernel is kept once.
//!
//! Invariant: kernels with equal text, their names apart, have one number in the program; numbers follow first use.

use std::collections::HashMap;
use std::rc::Rc;

use tilewright_runtime::program::{Access, Kernel as ProgramKernel, KernelArg, KernelId, SizeDecl};

use super::draft::InPlace;
use super::in_place;
use crate::graph::{ARGUMENT, Graph, NodeId};
use crate::kernel::{Buffer, Kernel, Rights, SizeParam, print};

/// Makes the kernel of a structured node or a fused group, or says why it cannot.
pub type Schedule<'a> = dyn Fn(&Graph, NodeId) -> Result<Kernel, String> + 'a;

pub struct Scheduled {
    pub kernel: Rc<Kernel>,
    pub in_place: Vec<InPlace>,
}

pub struct Kernels<'a> {
    schedule: &'a Schedule<'a>,
    by_node: HashMap<String, Result<Rc<Scheduled>, String>>,
    pub chosen: Vec<Kernel>,
    by_text: HashMap<String, KernelId>,
    names: HashMap<String, usize>,
}

impl<'a> Kernels<'a> {
    pub fn new(schedule: &'a Schedule<'a>) -> Kernels<'a> {
        let (by_node, by_text, names) = Default::default();
        Kernels { schedule, by_node, chosen: Vec::new(), by_text, names }
    }

    pub fn of_node(&mut self, graph: &Graph, id: NodeId) -> Result<Rc<Scheduled>, String> {
        let key = node_text(graph, id);
        if let Some(known) = self.by_node.get(&key) {
            return known.clone();
        }
        let scheduled = (self.schedule)(graph, id).map(|kernel| {
            let kernel = Kernel { name: name_of(graph, id), ..kernel };
            let in_place = in_place::ways(graph, id, &kernel);
            Rc::new(Scheduled { kernel: Rc::new(kernel), in_place })
        });
        self.by_node.insert(key, scheduled.clone());
        scheduled
    }

    /// The kernel's number in the program.
    pub fn number(&mut self, kernel: &Kernel) -> KernelId {
        let text = print(&Kernel { name: String::new(), ..kernel.clone() });
        if let Some(&known) = self.by_text.get(&text) {
            return known;
        }
        let id = KernelId(self.chosen.len() as u32);
        let uses_of_name = self.names.entry(kernel.name.clone()).or_insert(0);
        *uses_of_name += 1;
        let name = match *uses_of_name {
            1 => kernel.name.clone(),
            nth => format!("{}_{nth}", kernel.name),
        };
        self.chosen.push(Kernel { name, ..kernel.clone() });
        self.by_text.insert(text, id);
        id
    }
}

/// The longest name of a kernel.
const MAX_NAME: usize = 48;

/// The ops that a kernel computes, in order, those that only move elements left out where there are others.
fn name_of(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let [region] = node.regions.as_slice() else { return node.op.name.to_string() };
    let inner = region.node_ids().map(|id| region.node(id)).filter(|node| node.op.name != ARGUMENT.name);
    let moves = |name: &str| ["broadcast", "reshape", "permute", "slice", "constant", "cast"].contains(&name);
    let (moving, computing): (Vec<&str>, Vec<&str>) = inner.map(|node| node.op.name).partition(|name| moves(name));
    let mut names = if computing.is_empty() { moving } else { computing };
    names.dedup();
    let mut name = if names.is_empty() { node.op.name.to_string() } else { names.join("_") };
    if name.len() > MAX_NAME {
        name.truncate(MAX_NAME);
        name.truncate(name.rfind('_').unwrap_or(MAX_NAME));
    }
    name
}

/// Everything that the schedule of a node depends on.
fn node_text(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let operands: Vec<String> = graph.operands(id).iter().map(|&value| graph.type_of(value).to_string()).collect();
    let regions: Vec<String> = node.regions.iter().map(Graph::text_without_origins).collect();
    format!("{} {:?} {operands:?} {:?} {regions:?} {:?}", node.op.name, node.attrs, node.types, graph.sizes)
}

/// The kernel as a program declares it, without code.
pub fn declaration(kernel: &Kernel) -> ProgramKernel {
    let access = |rights: Rights| match rights {
        Rights::Read => Access::Read,
        Rights::Write => Access::Write,
        Rights::ReadWrite => Access::Update,
    };
    let arg =
        |buffer: &Buffer| KernelArg { access: access(buffer.rights), dtype: buffer.dtype, shape: buffer.shape.clone() };
    let size = |size: &SizeParam| SizeDecl { symbol: size.symbol.clone(), lo: size.low.max(0), hi: size.high };
    ProgramKernel {
        name: kernel.name.clone(),
        text: print(kernel),
        symbol: kernel.name.clone(),
        object: None,
        sizes: kernel.sizes.iter().map(size).collect(),
        args: kernel.buffers.iter().map(arg).collect(),
        grid: kernel.n_items(),
        sequential: kernel.sequential,
    }
}
