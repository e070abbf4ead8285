//! The kernels of a program as pipelines.
//!
//! Invariant: pipeline `i` is kernel `i`. Its bindings are the kernel's arguments in order, the flag if the shader has one,
//! and the numbers of the call; see the head of the compiler's `codegen::wgsl`.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Gpu;
use super::gpu::wait;
use super::queue::Recorder;
use crate::device::gpu::{Loaded, Queue};
use crate::error::{ErrorKind, RunError};
use crate::program::{BlobId, Kernel, KernelId, Program};

pub struct Code {
    pub gpu: Arc<Gpu>,
    kernels: Vec<Pipeline>,
}

/// One kernel, ready to be launched.
pub(super) struct Pipeline {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
    /// The shader says when a number did not fit 32 bits.
    pub has_flag: bool,
}

/// How the declaration of the flag begins.
const FLAG: &str = "var<storage, read_write> flag:";

impl Code {
    pub fn load(program: &Program, gpu: Arc<Gpu>) -> Result<Code, RunError> {
        let mut loaded: FxHashMap<BlobId, wgpu::ShaderModule> = FxHashMap::default();
        let mut kernels = Vec::with_capacity(program.kernels.len());
        for kernel in &program.kernels {
            let named = |error: RunError| error.note(format!("while loading kernel `{}`", kernel.name));
            let text = text_of(program, kernel).map_err(named)?;
            let blob = kernel.object.unwrap_or(BlobId(u32::MAX));
            if !loaded.contains_key(&blob) {
                loaded.insert(blob, module(&gpu, kernel, text).map_err(named)?);
            }
            kernels.push(pipeline(&gpu, kernel, &loaded[&blob], text.contains(FLAG)).map_err(named)?);
        }
        Ok(Code { gpu, kernels })
    }

    pub(super) fn kernel(&self, id: KernelId) -> &Pipeline {
        &self.kernels[id.0 as usize]
    }
}

impl Loaded for Code {
    fn n_kernels(&self) -> usize {
        self.kernels.len()
    }

    fn queue(self: Arc<Self>) -> Result<Box<dyn Queue>, RunError> {
        Ok(Box::new(Recorder::new(self)))
    }
}

fn text_of<'p>(program: &'p Program, kernel: &Kernel) -> Result<&'p str, RunError> {
    let unfit = |what: &str| RunError::new(ErrorKind::Code, format!("kernel `{}` {what}", kernel.name));
    if !program.target.backend.starts_with("wgsl") {
        return Err(unfit("is no shader").help("compile the program with `--target wgpu`"));
    }
    let blob = kernel.object.ok_or_else(|| unfit("has no shader"))?;
    std::str::from_utf8(program.blob(blob)).map_err(|_| unfit("is no text"))
}

/// What goes wrong inside of `work`, as an error.
fn scoped<T>(gpu: &Gpu, doing: &str, work: impl FnOnce() -> T) -> Result<T, RunError> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let made = work();
    match wait(scope.pop()) {
        Some(error) => Err(RunError::new(ErrorKind::Code, format!("{doing}: {error}"))),
        None => Ok(made),
    }
}

fn module(gpu: &Gpu, kernel: &Kernel, text: &str) -> Result<wgpu::ShaderModule, RunError> {
    let source = wgpu::ShaderSource::Wgsl(text.into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(&kernel.name), source };
    // Loops of kernels end: their bounds are known before the first round, and they step towards them.
    let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
    scoped(gpu, "the shader is not valid", || {
        // SAFETY: accesses are checked still. A loop without an end would hang the device, which is what machine code of
        // the same origin can do as well.
        unsafe { gpu.device.create_shader_module_trusted(descriptor, checks) }
    })
}

fn pipeline(gpu: &Gpu, kernel: &Kernel, module: &wgpu::ShaderModule, has_flag: bool) -> Result<Pipeline, RunError> {
    let storage = wgpu::BufferBindingType::Storage { read_only: false };
    let n_storage = kernel.args.len() + usize::from(has_flag);
    if n_storage > gpu.limits.max_storage_buffers_per_shader_stage as usize {
        let most = gpu.limits.max_storage_buffers_per_shader_stage;
        return Err(RunError::new(ErrorKind::Code, format!("it takes {n_storage} buffers, the device {most}")));
    }
    let entry = |binding: usize, ty: wgpu::BufferBindingType| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut entries: Vec<_> = (0..n_storage).map(|binding| entry(binding, storage)).collect();
    entries.push(entry(n_storage, wgpu::BufferBindingType::Uniform));
    scoped(gpu, "the shader does not fit the device", || {
        let descriptor = wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries };
        let layout = gpu.device.create_bind_group_layout(&descriptor);
        let layouts = [Some(&layout)];
        let descriptor = wgpu::PipelineLayoutDescriptor {
            bind_group_layouts: &layouts,
            ..wgpu::PipelineLayoutDescriptor::default()
        };
        let whole = gpu.device.create_pipeline_layout(&descriptor);
        let options = wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        };
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&kernel.name),
            layout: Some(&whole),
            module,
            entry_point: Some(&kernel.symbol),
            compilation_options: options,
            cache: None,
        });
        Pipeline { pipeline, layout, has_flag }
    })
}
