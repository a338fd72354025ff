//! Misuse stops the process with one line that names the pointer, never silently.

use super::SMALL;
use aloof_behaviour::{Case, behaviours};

behaviours! {
    free_of_stack_memory = Case::death("free-stack");
    free_of_static_memory = Case::death("free-static");
    free_of_a_mapping = Case::death("free-mapping");
    free_of_a_low_address = Case::death("free-low");
    free_of_an_impossible_address = Case::death("free-high");
    free_of_a_pointer_with_a_mark_in_its_top_byte_16 = Case::death("garbled-byte-16");
    free_of_a_pointer_with_a_mark_in_its_top_byte_5000 = Case::death("garbled-byte-5000");
    free_of_a_pointer_with_bit_48_turned = Case::death("garbled-bit-48");
    free_of_a_pointer_with_bit_47_turned = Case::death("garbled-bit-47");
    free_of_a_pointer_with_bit_40_turned = Case::death("garbled-bit-40");
    free_of_a_pointer_with_bit_40_turned_in_512_mib = Case::death("garbled-bit-40").address_space(SMALL);
    free_of_a_pointer_960_gib_off_in_512_mib = Case::death("moved-960-gib").address_space(SMALL);
    free_of_a_pointer_512_gib_off_in_512_mib = Case::death("moved-512-gib").address_space(SMALL);
    free_of_a_pointer_1024_gib_off_in_512_mib = Case::death("moved-1024-gib").address_space(SMALL);
    free_of_a_pointer_with_bit_32_turned = Case::death("garbled-bit-32");
    free_of_a_pointer_with_bit_32_turned_in_512_mib = Case::death("garbled-bit-32").address_space(SMALL);
    free_inside_a_small_block_in_512_mib = Case::death("inside-small-16").address_space(SMALL);
    double_free_after_many_of_600_bytes_in_512_mib = Case::death("twice-after-many-600").address_space(SMALL);
    realloc_of_a_pointer_with_a_mark = Case::death("realloc-garbled");
    realloc_of_static_memory = Case::death("realloc-static");
    usable_size_of_static_memory = Case::death("usable-static");
    usable_size_inside_a_small_block = Case::death("usable-inside-small");
    usable_size_of_a_page_inside_a_pooled_block = Case::death("usable-inside-pool-chunk");
    usable_size_inside_a_chunk = Case::death("usable-inside-chunk");
    realloc_inside_a_small_block = Case::death("realloc-inside-small");

    free_inside_a_small_block_8 = Case::death("inside-small-8");
    free_inside_a_small_block_16 = Case::death("inside-small-16");
    free_inside_a_small_block_odd = Case::death("inside-small-1");
    free_of_a_small_blocks_last_byte = Case::death("inside-small-end");
    free_of_a_page_inside_a_pooled_block = Case::death("inside-pool-page");
    free_inside_a_chunk = Case::death("inside-chunk-16");
    free_of_a_later_chunk = Case::death("inside-chunk");
    free_inside_a_run = Case::death("inside-run-16");
    free_in_the_middle_of_a_run = Case::death("inside-run");
    free_inside_a_sub_region = Case::death("inside-direct-16");
    free_of_a_later_sub_region = Case::death("inside-direct");
    free_in_the_middle_of_a_large_run = Case::death("inside-large-run");
    free_in_the_middle_of_a_rounded_block = Case::death("inside-rounded");
    free_inside_a_huge_block = Case::death("inside-huge-16");
    free_in_the_middle_of_a_huge_block = Case::death("inside-huge");

    double_free_at_once_of_16_bytes = Case::death("twice-now-16");
    double_free_at_once_of_1000_bytes = Case::death("twice-now-1000");
    double_free_at_once_of_30000_bytes = Case::death("twice-now-30000");
    double_free_after_another_of_16_bytes = Case::death("twice-after-one-16");
    double_free_after_another_of_1000_bytes = Case::death("twice-after-one-1000");
    double_free_after_another_of_20000_bytes = Case::death("twice-after-one-20000");
    double_free_after_many_of_16_bytes = Case::death("twice-after-many-16");
    double_free_after_many_of_600_bytes = Case::death("twice-after-many-600");
    double_free_after_many_of_9000_bytes = Case::death("twice-after-many-9000");
    double_free_by_another_thread_of_64_bytes = Case::death("twice-by-another-64");
    double_free_by_another_thread_of_5000_bytes = Case::death("twice-by-another-5000");
    double_free_by_the_owner_of_64_bytes = Case::death("twice-by-owner-64");
    double_free_by_the_owner_of_5000_bytes = Case::death("twice-by-owner-5000");
    double_free_by_two_others_of_64_bytes = Case::death("twice-by-others-64");
    double_free_by_two_others_of_5000_bytes = Case::death("twice-by-others-5000");
    double_free_before_the_thread_ends = Case::death("twice-at-thread-end");
    double_free_before_the_process_ends = Case::death("twice-at-exit");

    double_free_of_a_chunk = Case::death("twice-chunk");
    double_free_of_a_chunk_later = Case::death("twice-chunk-later");
    double_free_of_a_run = Case::death("twice-run");
    double_free_of_a_run_later = Case::death("twice-run-later");
    double_free_of_sub_regions = Case::death("twice-direct");
    double_free_of_sub_regions_later = Case::death("twice-direct-later");
    double_free_of_a_large_run = Case::death("twice-large-run");
    double_free_of_a_rounded_block = Case::death("twice-rounded");
    double_free_of_a_huge_block = Case::death("twice-huge");
    double_free_of_a_huge_block_later = Case::death("twice-huge-later");

    realloc_of_a_freed_block = Case::death("resize-freed");
    realloc_of_a_freed_chunk = Case::death("resize-freed-chunk");
    realloc_of_a_freed_run = Case::death("resize-freed-run");
    realloc_of_freed_sub_regions = Case::death("resize-freed-direct");
}
