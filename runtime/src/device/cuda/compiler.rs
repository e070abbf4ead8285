//! NVRTC: CUDA C++ to machine code for one architecture.
//!
//! Invariant: sums and products are rounded one by one, as the kernels say. What NVRTC has against a text is in the error.

use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::result::{NvrtcError, compile_program, create_program, destroy_program, get_program_log};
use cudarc::nvrtc::sys;

use crate::error::{ErrorKind, RunError};
use crate::files::Cache;

/// Beside the architecture.
const OPTIONS: [&str; 2] = ["--fmad=false", "--std=c++17"];

pub struct Compiler {
    pub arch: String,
    pub version: String,
}

/// A text on its way, which NVRTC forgets in the end.
struct Source(sys::nvrtcProgram);

impl Drop for Source {
    fn drop(&mut self) {
        // SAFETY: it was created and nobody else destroys it. That this fails would not matter.
        let _ = unsafe { destroy_program(self.0) };
    }
}

fn failed(error: NvrtcError) -> RunError {
    let failed = RunError::new(ErrorKind::Code, format!("NVRTC cannot compile: {:?}", error.0));
    match error.0 {
        // The one that depends on the machine is the architecture.
        sys::nvrtcResult::NVRTC_ERROR_INVALID_OPTION => failed.help("install a newer NVRTC, which knows this GPU"),
        _ => failed,
    }
}

impl Compiler {
    pub fn find(arch: String) -> Result<Compiler, RunError> {
        // SAFETY: loading a library runs its initialisers, which those of NVRTC are made for.
        if !unsafe { sys::is_culib_present() } {
            let message = "kernels cannot be compiled: NVIDIA's compiler `libnvrtc` cannot be loaded";
            let help = "install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc`, and name the folder of `libnvrtc` in \
                        `LD_LIBRARY_PATH`";
            return Err(RunError::new(ErrorKind::Code, message).help(help));
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: both numbers are there to be written.
        unsafe { sys::nvrtcVersion(&mut major, &mut minor) }.result().map_err(failed)?;
        Ok(Compiler { arch, version: format!("{major}.{minor}") })
    }

    /// Machine code of a text, from the cache if it is there.
    pub fn compile(&self, text: &str, cache: &Cache) -> Result<Vec<u8>, RunError> {
        let mut hasher = blake3::Hasher::new();
        for part in ["cubin", &self.arch, &self.version, &OPTIONS.join(" "), text] {
            hasher.update(part.as_bytes()).update(b"\n");
        }
        let key = hasher.finalize().to_hex().to_string();
        if let Some(code) = cache.get(&key) {
            return Ok(code);
        }
        let code = self.make(text)?;
        cache.put(&key, &code);
        Ok(code)
    }

    fn make(&self, text: &str) -> Result<Vec<u8>, RunError> {
        let text =
            CString::new(text).map_err(|_| RunError::new(ErrorKind::Code, "a kernel's text has a zero in it"))?;
        let source = Source(create_program(&text, Some(c"kernel.cu")).map_err(failed)?);
        let mut options = vec![format!("--gpu-architecture={}", self.arch)];
        options.extend(OPTIONS.map(String::from));
        // SAFETY: the source was created, and lives until the end of this function.
        if let Err(error) = unsafe { compile_program(source.0, &options) } {
            // SAFETY: as above.
            let log = unsafe { get_program_log(source.0) }.unwrap_or_default();
            let version = &self.version;
            return Err(failed(error).note(text_of(&log)).note(format!("by NVRTC {version} for {}", self.arch)));
        }
        let mut bytes = 0;
        // SAFETY: the source was compiled, and the number is there to be written.
        unsafe { sys::nvrtcGetCUBINSize(source.0, &mut bytes) }.result().map_err(failed)?;
        let mut code = vec![0u8; bytes];
        // SAFETY: there are as many bytes as NVRTC asked for.
        unsafe { sys::nvrtcGetCUBIN(source.0, code.as_mut_ptr().cast()) }.result().map_err(failed)?;
        Ok(code)
    }
}

/// What NVRTC says, up to the end that it marks.
fn text_of(log: &[c_char]) -> String {
    let bytes: Vec<u8> = log.iter().map(|&byte| byte as u8).chain([0]).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap_or_default().to_string_lossy().trim().to_string()
}
