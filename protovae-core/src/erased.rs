//! Burn modules behind object-safe traits.
//!
//! [`burn::module::Module`] cannot be a trait object: visiting and mapping parameters is generic over the visitor and over
//! the rank of each tensor. Both are erased here without `unsafe`: the ranks are unrolled into methods of their own
//! ([`DynVisitor`], [`DynMapper`]), and a bridge finds the rank back through [`std::any::Any`]. The macro
//! [`dyn_module!`](crate::dyn_module) then makes a boxed type that is itself a full `Module`: optimizers, records, `valid`,
//! devices and module paths work through it.

use std::any::Any;

use burn::module::{Flag, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};

macro_rules! ranks { ($($rank:literal $float:ident $int:ident $bool:ident),*) => {
    /// [`ModuleVisitor`] with one method a rank, hence object safe.
    pub trait DynVisitor {
        $(
            #[doc = concat!("A float parameter of rank ", $rank, ".")]
            fn $float(&mut self, param: &Param<Tensor<$rank>>);
            #[doc = concat!("An integer parameter of rank ", $rank, ".")]
            fn $int(&mut self, param: &Param<Tensor<$rank, Int>>);
            #[doc = concat!("A boolean parameter of rank ", $rank, ".")]
            fn $bool(&mut self, param: &Param<Tensor<$rank, Bool>>);
        )*
        /// A training flag.
        fn flag(&mut self, param: &Param<Flag>);
        /// Enters a submodule.
        fn enter(&mut self, name: &str, container: &str);
        /// Leaves a submodule.
        fn exit(&mut self, name: &str, container: &str);
    }

    impl<V: ModuleVisitor> DynVisitor for V {
        $(
            fn $float(&mut self, param: &Param<Tensor<$rank>>) { self.visit_float(param) }
            fn $int(&mut self, param: &Param<Tensor<$rank, Int>>) { self.visit_int(param) }
            fn $bool(&mut self, param: &Param<Tensor<$rank, Bool>>) { self.visit_bool(param) }
        )*
        fn flag(&mut self, param: &Param<Flag>) { self.visit_flag(param) }
        fn enter(&mut self, name: &str, container: &str) { self.enter_module(name, container) }
        fn exit(&mut self, name: &str, container: &str) { self.exit_module(name, container) }
    }

    impl ModuleVisitor for VisitBridge<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let param: &dyn Any = param;
            $( if let Some(param) = param.downcast_ref() { return self.0.$float(param); } )*
            unsupported_rank(D)
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            let param: &dyn Any = param;
            $( if let Some(param) = param.downcast_ref() { return self.0.$int(param); } )*
            unsupported_rank(D)
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            let param: &dyn Any = param;
            $( if let Some(param) = param.downcast_ref() { return self.0.$bool(param); } )*
            unsupported_rank(D)
        }
        fn visit_flag(&mut self, param: &Param<Flag>) { self.0.flag(param) }
        fn enter_module(&mut self, name: &str, container: &str) { self.0.enter(name, container) }
        fn exit_module(&mut self, name: &str, container: &str) { self.0.exit(name, container) }
    }

    /// [`ModuleMapper`] with one method a rank, hence object safe.
    pub trait DynMapper {
        $(
            #[doc = concat!("A float parameter of rank ", $rank, ".")]
            fn $float(&mut self, param: Param<Tensor<$rank>>) -> Param<Tensor<$rank>>;
            #[doc = concat!("An integer parameter of rank ", $rank, ".")]
            fn $int(&mut self, param: Param<Tensor<$rank, Int>>) -> Param<Tensor<$rank, Int>>;
            #[doc = concat!("A boolean parameter of rank ", $rank, ".")]
            fn $bool(&mut self, param: Param<Tensor<$rank, Bool>>) -> Param<Tensor<$rank, Bool>>;
        )*
        /// A training flag.
        fn flag(&mut self, param: Param<Flag>) -> Param<Flag>;
        /// Enters a submodule.
        fn enter(&mut self, name: &str, container: &str);
        /// Leaves a submodule.
        fn exit(&mut self, name: &str, container: &str);
    }

    impl<M: ModuleMapper> DynMapper for M {
        $(
            fn $float(&mut self, param: Param<Tensor<$rank>>) -> Param<Tensor<$rank>> { self.map_float(param) }
            fn $int(&mut self, param: Param<Tensor<$rank, Int>>) -> Param<Tensor<$rank, Int>> { self.map_int(param) }
            fn $bool(&mut self, param: Param<Tensor<$rank, Bool>>) -> Param<Tensor<$rank, Bool>> { self.map_bool(param) }
        )*
        fn flag(&mut self, param: Param<Flag>) -> Param<Flag> { self.map_flag(param) }
        fn enter(&mut self, name: &str, container: &str) { self.enter_module(name, container) }
        fn exit(&mut self, name: &str, container: &str) { self.exit_module(name, container) }
    }

    impl ModuleMapper for MapBridge<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let mut slot = Some(param);
            $( map_in_slot::<_, Param<Tensor<$rank>>>(&mut slot, |param| self.0.$float(param)); )*
            slot.unwrap_or_else(|| unsupported_rank(D))
        }
        fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
            let mut slot = Some(param);
            $( map_in_slot::<_, Param<Tensor<$rank, Int>>>(&mut slot, |param| self.0.$int(param)); )*
            slot.unwrap_or_else(|| unsupported_rank(D))
        }
        fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
            let mut slot = Some(param);
            $( map_in_slot::<_, Param<Tensor<$rank, Bool>>>(&mut slot, |param| self.0.$bool(param)); )*
            slot.unwrap_or_else(|| unsupported_rank(D))
        }
        fn map_flag(&mut self, param: Param<Flag>) -> Param<Flag> { self.0.flag(param) }
        fn enter_module(&mut self, name: &str, container: &str) { self.0.enter(name, container) }
        fn exit_module(&mut self, name: &str, container: &str) { self.0.exit(name, container) }
    }
}}

ranks!(1 float1 int1 bool1, 2 float2 int2 bool2, 3 float3 int3 bool3, 4 float4 int4 bool4,
       5 float5 int5 bool5, 6 float6 int6 bool6, 7 float7 int7 bool7, 8 float8 int8 bool8);

/// Hands a `dyn` [`DynVisitor`] to a concrete module as a sized [`ModuleVisitor`].
#[allow(missing_debug_implementations)]
pub struct VisitBridge<'a>(pub &'a mut dyn DynVisitor);

/// Hands a `dyn` [`DynMapper`] to a concrete module as a sized [`ModuleMapper`].
#[allow(missing_debug_implementations)]
pub struct MapBridge<'a>(pub &'a mut dyn DynMapper);

/// Applies `map` if `S` is really `T`; of all ranks just one is.
fn map_in_slot<S: 'static, T: 'static>(slot: &mut Option<S>, map: impl FnOnce(T) -> T) {
    if let Some(slot) = (slot as &mut dyn Any).downcast_mut::<Option<T>>()
        && let Some(param) = slot.take()
    {
        *slot = Some(map(param));
    }
}

/// Burn's own backends stop at rank 8; silently skipping such a parameter would leave it untrained.
#[cold]
fn unsupported_rank(rank: usize) -> ! {
    panic!("parameters of rank {rank} are not supported (1 to 8 are)")
}

/// Makes `$Boxed`, a full burn `Module` that holds any `T: $Trait + Module`.
///
/// ```
/// use burn::module::{Module, Param};
/// use burn::tensor::{Device, Tensor};
///
/// /// An object-safe trait of burn modules.
/// pub trait Scale {
///     /// Scales `x`.
///     fn scale(&self, x: Tensor<1>) -> Tensor<1>;
/// }
/// protovae_core::dyn_module!(
///     /// Any [`Scale`].
///     BoxScale, ScaleObject, Scale
/// );
///
/// #[derive(Module, Debug)]
/// struct Factor { factor: Param<Tensor<1>> }
/// impl Scale for Factor {
///     fn scale(&self, x: Tensor<1>) -> Tensor<1> { x * self.factor.val() }
/// }
///
/// let factor = Factor { factor: Param::from_tensor(Tensor::from_floats([3.0], &Device::flex())) };
/// let boxed = BoxScale::new(factor);
/// assert_eq!(boxed.num_params(), 1);
/// assert_eq!(boxed.scale(Tensor::from_floats([2.0], &Device::flex())).into_scalar::<f32>(), 6.0);
/// assert!(boxed.downcast_ref::<Factor>().is_some());
/// ```
#[macro_export]
macro_rules! dyn_module { ($(#[$doc:meta])* $Boxed:ident, $Object:ident, $Trait:ident) => {
    #[doc(hidden)]
    pub trait $Object: $Trait + std::fmt::Debug + Send + Sync {
        fn clone_dyn(&self) -> Box<dyn $Object>;
        fn visit_dyn(&self, visitor: &mut dyn $crate::erased::DynVisitor);
        fn map_dyn(self: Box<Self>, mapper: &mut dyn $crate::erased::DynMapper) -> Box<dyn $Object>;
        fn devices_dyn(&self, devices: burn::module::Devices) -> burn::module::Devices;
        fn fork_dyn(self: Box<Self>, device: &burn::tensor::Device) -> Box<dyn $Object>;
        fn to_device_dyn(self: Box<Self>, device: &burn::tensor::Device) -> Box<dyn $Object>;
        fn train_dyn(self: Box<Self>) -> Box<dyn $Object>;
        fn valid_dyn(&self) -> Box<dyn $Object>;
        fn materialize_dyn(self: Box<Self>) -> Box<dyn $Object>;
        fn content_dyn(&self, content: burn::module::Content) -> Option<burn::module::Content>;
        fn as_any(&self) -> &dyn std::any::Any;
        fn type_name_dyn(&self) -> &'static str;
    }

    impl<T: $Trait + burn::module::Module + burn::module::ModuleDisplay + Sync + 'static> $Object for T {
        fn clone_dyn(&self) -> Box<dyn $Object> { Box::new(self.clone()) }
        fn visit_dyn(&self, visitor: &mut dyn $crate::erased::DynVisitor) {
            self.visit(&mut $crate::erased::VisitBridge(visitor))
        }
        fn map_dyn(self: Box<Self>, mapper: &mut dyn $crate::erased::DynMapper) -> Box<dyn $Object> {
            Box::new((*self).map(&mut $crate::erased::MapBridge(mapper)))
        }
        fn devices_dyn(&self, devices: burn::module::Devices) -> burn::module::Devices { self.collect_devices(devices) }
        fn fork_dyn(self: Box<Self>, device: &burn::tensor::Device) -> Box<dyn $Object> { Box::new((*self).fork(device)) }
        fn to_device_dyn(self: Box<Self>, device: &burn::tensor::Device) -> Box<dyn $Object> {
            Box::new((*self).to_device(device))
        }
        fn train_dyn(self: Box<Self>) -> Box<dyn $Object> { Box::new((*self).train()) }
        fn valid_dyn(&self) -> Box<dyn $Object> { Box::new(self.valid()) }
        fn materialize_dyn(self: Box<Self>) -> Box<dyn $Object> { Box::new((*self).materialize()) }
        fn content_dyn(&self, content: burn::module::Content) -> Option<burn::module::Content> {
            burn::module::ModuleDisplayDefault::content(self, content)
        }
        fn as_any(&self) -> &dyn std::any::Any { self }
        fn type_name_dyn(&self) -> &'static str { std::any::type_name::<T>() }
    }

    $(#[$doc])*
    #[derive(Debug)]
    pub struct $Boxed(Box<dyn $Object>);

    impl $Boxed {
        /// Boxes a module.
        pub fn new<T: $Object + 'static>(module: T) -> Self { Self(Box::new(module)) }
        /// The concrete module, if it is a `T`.
        pub fn downcast_ref<T: 'static>(&self) -> Option<&T> { self.0.as_any().downcast_ref() }
        /// The Rust type of the module inside, for messages.
        pub fn type_name(&self) -> &'static str { self.0.type_name_dyn() }
    }

    impl std::ops::Deref for $Boxed {
        type Target = dyn $Object;
        fn deref(&self) -> &Self::Target { &*self.0 }
    }

    impl Clone for $Boxed {
        fn clone(&self) -> Self { Self(self.0.clone_dyn()) }
    }

    impl burn::module::Module for $Boxed {
        fn collect_devices(&self, devices: burn::module::Devices) -> burn::module::Devices { self.0.devices_dyn(devices) }
        fn fork(self, device: &burn::tensor::Device) -> Self { Self(self.0.fork_dyn(device)) }
        fn to_device(self, device: &burn::tensor::Device) -> Self { Self(self.0.to_device_dyn(device)) }
        fn train(self) -> Self { Self(self.0.train_dyn()) }
        fn valid(&self) -> Self { Self(self.0.valid_dyn()) }
        fn materialize(self) -> Self { Self(self.0.materialize_dyn()) }
        fn visit<V: burn::module::ModuleVisitor>(&self, visitor: &mut V) { self.0.visit_dyn(visitor) }
        fn map<M: burn::module::ModuleMapper>(self, mapper: &mut M) -> Self { Self(self.0.map_dyn(mapper)) }
    }

    impl burn::module::ModuleDisplayDefault for $Boxed {
        fn content(&self, content: burn::module::Content) -> Option<burn::module::Content> { self.0.content_dyn(content) }
        fn num_params(&self) -> usize { burn::module::Module::num_params(self) }
    }

    impl burn::module::ModuleDisplay for $Boxed {}
}}
