//! Faults that a test switches on one at a time, to see whether the differential test finds them.
//!
//! Invariant: without the feature `seeded-bugs`, `is` is the constant `false` and nothing of this is left in the code.

macro_rules! faults {
    ($($fault:ident $what:literal)*) => {
        /// A mistake that someone might have made.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $what] $fault,)*
        }

        impl Fault {
            /// All of them, with what is wrong.
            pub const ALL: &[(Fault, &str)] = &[$((Fault::$fault, $what)),*];
        }
    };
}

faults! {
    SubZeroOnEitherSide "canonicalize: 0 - x becomes x"
    SelectNotKeepsSides "canonicalize: select(not c, a, b) becomes select(c, a, b)"
    PermutesComposeBackwards "canonicalize: two permutes are composed in the wrong order"
    SlicesForgetTheStep "canonicalize: the start of an outer slice is not scaled by the inner step"
    CubeIsFourthPower "canonicalize: x^3 becomes (x*x)*(x*x)"
    PadsIgnoreValues "canonicalize: pads of different values are joined"
    CseIgnoresAttributes "cse: nodes that differ in their attributes count as equal"
    CseIgnoresRegions "cse: nodes that differ in their regions count as equal"
    FoldTrustsFirstElement "fold: a result counts as uniform if its ends are equal"
    LayoutForgetsAxes "layout: the axes that an op names stay as they were with channels last"
    TilesArePaddedBefore "winograd: what the last tiles lack is added before the image"
    GuardLacksALane "lowering: a guard against an upper bound excludes the last element"
    StrideSkipsAnAxis "lowering: the stride of the first of three axes lacks a factor"
    FloorDivTruncates "lowering: integer division rounds towards zero"
    ShiftKeepsBits "lowering: a shift by more than the width shifts by the rest"
    SignOfNegativesIsLost "lowering: the sign of a negative number is itself or zero"
    GatherReachesOneFurther "lowering: the check of a computed index lets one past the end through"
    ContractionDropsRows "schedule: rows after the last full register tile are not computed"
    ContractionDropsAProduct "schedule: the last product of a contraction is left out"
    MaxStartsAtZero "schedule: a maximum starts from zero"
    WindowsLeaveTheRest "schedule: windows after the last full tile are not computed"
    NeighboursTakeTheFirst "schedule: all members of a group of neighbours are the first"
    BandsStartLate "schedule: the piece that a tile needs starts one line late"
    AttentionTakesPadding "schedule: attention counts what lies in the last panel beyond the keys"
    RecurrenceForgetsRounds "schedule: each round of a recurrence starts from the first"
    LifetimeTooShort "plan: a value dies one step before its last use"
    LoopForgetsLifetimes "plan: what a loop reads may be overwritten inside it"
    OverwritesTheLiving "plan: a result is written over an operand that is read again later"
    CarriesOverwriteEachOther "plan: carried values that swap places are copied one after the other"
    ScanForgetsCarries "plan: a scan does not hand its carries to the next step"
    NanLosesMaximum "codegen: the maximum of a number and NaN is the number"
    CastsWrap "codegen: floats out of range wrap in 8 bits instead of saturating"
}

#[cfg(feature = "seeded-bugs")]
static ACTIVE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(usize::MAX);

/// Switches one fault on, or all off.
#[cfg(feature = "seeded-bugs")]
pub fn activate(fault: Option<Fault>) {
    ACTIVE.store(fault.map_or(usize::MAX, |fault| fault as usize), std::sync::atomic::Ordering::SeqCst);
}

#[cfg(feature = "seeded-bugs")]
pub fn is(fault: Fault) -> bool {
    ACTIVE.load(std::sync::atomic::Ordering::Relaxed) == fault as usize
}

#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn is(_: Fault) -> bool {
    false
}
