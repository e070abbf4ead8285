//! The device: found, opened with all that it allows, and what it complains of.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::{ErrorKind, RunError};

pub struct Gpu {
    pub name: String,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    /// The first thing that nobody was told of yet.
    complaint: Arc<Mutex<Option<String>>>,
}

/// On native systems these futures are ready, or become so while the instance is polled.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}

fn missing(reason: impl std::fmt::Display) -> RunError {
    let error = RunError::new(ErrorKind::Code, format!("there is no GPU to run on: {reason}"));
    error.help("install a Vulkan driver; `mesa-vulkan-drivers` has one that needs no GPU")
}

fn adapter() -> Result<wgpu::Adapter, RunError> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    wait(instance.request_adapter(&options)).map_err(missing)
}

/// The GPU of this machine in a line, or why there is none.
pub fn describe() -> Result<String, RunError> {
    let info = adapter()?.get_info();
    Ok(format!("{} ({:?}, {})", info.name, info.backend, info.driver_info))
}

impl Gpu {
    pub fn open() -> Result<Gpu, RunError> {
        let adapter = adapter()?;
        let limits = adapter.limits();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("tilewright"),
            required_limits: limits.clone(),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = wait(adapter.request_device(&descriptor)).map_err(missing)?;
        let complaint: Arc<Mutex<Option<String>>> = Arc::default();
        let heard = Arc::clone(&complaint);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get_or_insert_with(|| error.to_string());
        }));
        Ok(Gpu { name: adapter.get_info().name, device, queue, limits, complaint })
    }

    pub(super) fn buffer(&self, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    /// An error, if the device complained since the last time.
    pub fn check(&self, doing: &str) -> Result<(), RunError> {
        match self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(complaint) => Err(RunError::new(ErrorKind::Code, format!("{doing}: {complaint}"))),
            None => Ok(()),
        }
    }

    /// Until all that was submitted is done.
    pub fn finish(&self) -> Result<(), RunError> {
        let done = self.device.poll(wgpu::PollType::wait_indefinitely());
        done.map(|_| ()).map_err(|error| RunError::new(ErrorKind::Code, format!("waiting for the GPU: {error}")))
    }
}
