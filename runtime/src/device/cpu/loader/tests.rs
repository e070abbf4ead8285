//! Objects made with Cranelift, loaded and called; then the same objects damaged.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AbiParam, InstBuilder, MemFlagsData, Value, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, Linkage, Module, default_libcall_names};
use cranelift_object::{ObjectBuilder, ObjectModule};

use super::*;

/// `out[i] = table[i % 4] * sizes[0] + triple(i)` for each item, after clearing `out[0..n]` with
/// the host's `memset`: a constant, a function of the object and one outside it are reached.
fn kernel_object(pic: bool, host: &str) -> Vec<u8> {
    let mut flags = settings::builder();
    flags.set("is_pic", if pic { "true" } else { "false" }).unwrap();
    let isa = cranelift_native::builder().unwrap().finish(settings::Flags::new(flags)).unwrap();
    let builder = ObjectBuilder::new(isa, "kernels", default_libcall_names()).unwrap();
    let mut module = ObjectModule::new(builder);
    define_triple(&mut module);
    define_kernel(&mut module, host);
    module.finish().emit().unwrap()
}

fn define_triple(module: &mut ObjectModule) {
    let mut context = module.make_context();
    context.func.signature.params.push(AbiParam::new(types::I64));
    context.func.signature.returns.push(AbiParam::new(types::I64));
    let id = module.declare_function("triple", Linkage::Local, &context.func.signature).unwrap();
    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    let x = builder.block_params(block)[0];
    let tripled = builder.ins().imul_imm_s(x, 3);
    builder.ins().return_(&[tripled]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    module.define_function(id, &mut context).unwrap();
}

fn define_kernel(module: &mut ObjectModule, host: &str) {
    let mut table = DataDescription::new();
    table.define([10i64, 20, 30, 40].iter().flat_map(|v| v.to_le_bytes()).collect());
    table.set_align(16);
    let table_id = module.declare_data("table", Linkage::Local, false, false).unwrap();
    module.define_data(table_id, &table).unwrap();

    let mut memset = module.make_signature();
    memset.params = vec![AbiParam::new(types::I64), AbiParam::new(types::I32), AbiParam::new(types::I64)];
    memset.returns = vec![AbiParam::new(types::I64)];
    let memset_id = module.declare_function(host, Linkage::Import, &memset).unwrap();

    let mut context = module.make_context();
    context.func.signature.params = vec![AbiParam::new(types::I64); 4];
    let id = module.declare_function("kernel", Linkage::Export, &context.func.signature).unwrap();
    let triple_signature = {
        let mut signature = module.make_signature();
        signature.params.push(AbiParam::new(types::I64));
        signature.returns.push(AbiParam::new(types::I64));
        signature
    };
    let triple_id = module.declare_function("triple", Linkage::Local, &triple_signature).unwrap();

    let mut scratch = FunctionBuilderContext::new();
    let mut builder = FunctionBuilder::new(&mut context.func, &mut scratch);
    let memset_ref = module.declare_func_in_func(memset_id, builder.func);
    let triple_ref = module.declare_func_in_func(triple_id, builder.func);
    let table_ref = module.declare_data_in_func(table_id, builder.func);
    let [entry, head, body, done] = std::array::from_fn(|_| builder.create_block());
    builder.append_block_params_for_function_params(entry);
    builder.append_block_param(head, types::I64);
    builder.switch_to_block(entry);
    let params: [Value; 4] = std::array::from_fn(|i| builder.block_params(entry)[i]);
    let flags = MemFlagsData::trusted();
    let out = builder.ins().load(types::I64, flags, params[0], 0);
    let scale = builder.ins().load(types::I64, flags, params[1], 0);
    let zero = builder.ins().iconst(types::I32, 0);
    let begin_bytes = builder.ins().ishl_imm_u(params[2], 3);
    let end_bytes = builder.ins().ishl_imm_u(params[3], 3);
    let clear_from = builder.ins().iadd(out, begin_bytes);
    let clear_len = builder.ins().isub(end_bytes, begin_bytes);
    builder.ins().call(memset_ref, &[clear_from, zero, clear_len]);
    builder.ins().jump(head, &[params[2].into()]);

    builder.switch_to_block(head);
    let item = builder.block_params(head)[0];
    let more = builder.ins().icmp(IntCC::SignedLessThan, item, params[3]);
    builder.ins().brif(more, body, &[], done, &[]);

    builder.switch_to_block(body);
    let base = builder.ins().symbol_value(types::I64, table_ref);
    let index = builder.ins().band_imm_s(item, 3);
    let offset = builder.ins().ishl_imm_u(index, 3);
    let address = builder.ins().iadd(base, offset);
    let constant = builder.ins().load(types::I64, flags, address, 0);
    let scaled = builder.ins().imul(constant, scale);
    let call = builder.ins().call(triple_ref, &[item]);
    let tripled = builder.inst_results(call)[0];
    let sum = builder.ins().iadd(scaled, tripled);
    let item_bytes = builder.ins().ishl_imm_u(item, 3);
    let to = builder.ins().iadd(out, item_bytes);
    let cleared = builder.ins().load(types::I64, flags, to, 0);
    let sum = builder.ins().iadd(sum, cleared);
    builder.ins().store(flags, sum, to, 0);
    let next = builder.ins().iadd_imm_s(item, 1);
    builder.ins().jump(head, &[next.into()]);

    builder.switch_to_block(done);
    builder.ins().return_(&[]);
    builder.seal_all_blocks();
    builder.finalize(module.target_config());
    module.define_function(id, &mut context).unwrap();
}

#[test]
fn a_kernel_reaches_its_constants_its_functions_and_the_host() {
    for pic in [true, false] {
        let bytes = kernel_object(pic, "memset");
        let object = Object::load(&bytes, &Hosts::standard()).unwrap();
        let kernel = object.kernel("kernel").unwrap();
        let mut out = vec![-1i64; 10];
        let args = [out.as_mut_ptr().cast::<u8>()];
        let sizes = [100i64];
        // SAFETY: the kernel writes items 2..9 of the one buffer, which has ten.
        unsafe { kernel(args.as_ptr(), sizes.as_ptr(), 2, 9) };
        let expected = |i: i64| [10, 20, 30, 40][i as usize % 4] * 100 + 3 * i;
        let wanted: Vec<i64> = (0..10).map(|i| if (2..9).contains(&i) { expected(i) } else { -1 }).collect();
        assert_eq!(out, wanted, "pic: {pic}");
        assert!(object.kernel("kernels").is_err());
    }
}

#[test]
fn a_function_outside_the_table_is_refused_by_name() {
    let bytes = kernel_object(true, "system");
    let error = Object::load(&bytes, &Hosts::standard()).err().unwrap();
    assert!(error.message.contains("`system`"), "{error}");
    let with_memset = kernel_object(true, "memset");
    assert!(Object::load(&with_memset, &Hosts::default()).is_err());
}

#[test]
fn damaged_objects_never_panic() {
    let bytes = kernel_object(true, "memset");
    let hosts = Hosts::standard();
    for len in 0..bytes.len() {
        let _ = Object::load(&bytes[..len], &hosts);
    }
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let _ = Object::load(&damaged, &hosts);
        }
    }
    assert!(Object::load(b"", &hosts).is_err());
    assert!(Object::load(&bytes, &hosts).is_ok());
}
