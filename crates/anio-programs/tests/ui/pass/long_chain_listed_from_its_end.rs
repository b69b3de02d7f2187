// A long chain whose tasks are listed from its end: what is nested by the graph is not nested in the compiler.

use anio::prelude::*;

#[task]
async fn t0() -> Result<()> {
    Ok(())
}

macro_rules! chain {
    ($($task:ident $before:ident,)*) => {
        $(
            #[task(after($before), when = done(t0))]
            async fn $task() -> Result<()> {
                Ok(())
            }
        )*
    };
}

chain! {
    t1 t0, t2 t1, t3 t2, t4 t3, t5 t4, t6 t5, t7 t6, t8 t7, t9 t8, t10 t9, t11 t10, t12 t11, t13 t12,
    t14 t13, t15 t14, t16 t15, t17 t16, t18 t17, t19 t18, t20 t19, t21 t20, t22 t21, t23 t22, t24 t23,
    t25 t24, t26 t25, t27 t26, t28 t27, t29 t28, t30 t29, t31 t30, t32 t31, t33 t32, t34 t33, t35 t34,
    t36 t35, t37 t36, t38 t37, t39 t38, t40 t39, t41 t40, t42 t41, t43 t42, t44 t43, t45 t44, t46 t45,
    t47 t46, t48 t47, t49 t48, t50 t49, t51 t50, t52 t51, t53 t52, t54 t53, t55 t54, t56 t55, t57 t56,
    t58 t57, t59 t58, t60 t59, t61 t60, t62 t61, t63 t62, t64 t63, t65 t64, t66 t65, t67 t66, t68 t67,
    t69 t68, t70 t69, t71 t70, t72 t71, t73 t72, t74 t73, t75 t74, t76 t75, t77 t76, t78 t77, t79 t78,
    t80 t79, t81 t80, t82 t81, t83 t82, t84 t83, t85 t84, t86 t85, t87 t86, t88 t87, t89 t88, t90 t89,
    t91 t90, t92 t91, t93 t92, t94 t93, t95 t94, t96 t95, t97 t96, t98 t97, t99 t98, t100 t99, t101 t100,
    t102 t101, t103 t102, t104 t103, t105 t104, t106 t105, t107 t106, t108 t107, t109 t108, t110 t109,
    t111 t110, t112 t111, t113 t112, t114 t113, t115 t114, t116 t115, t117 t116, t118 t117, t119 t118,
    t120 t119, t121 t120, t122 t121, t123 t122, t124 t123, t125 t124, t126 t125, t127 t126, t128 t127,
    t129 t128, t130 t129, t131 t130, t132 t131, t133 t132, t134 t133, t135 t134, t136 t135, t137 t136,
    t138 t137, t139 t138, t140 t139, t141 t140, t142 t141, t143 t142, t144 t143, t145 t144, t146 t145,
    t147 t146, t148 t147, t149 t148, t150 t149, t151 t150, t152 t151, t153 t152, t154 t153, t155 t154,
    t156 t155, t157 t156, t158 t157, t159 t158, t160 t159, t161 t160, t162 t161, t163 t162, t164 t163,
    t165 t164, t166 t165, t167 t166, t168 t167, t169 t168, t170 t169, t171 t170, t172 t171, t173 t172,
    t174 t173, t175 t174, t176 t175, t177 t176, t178 t177, t179 t178, t180 t179, t181 t180, t182 t181,
    t183 t182, t184 t183, t185 t184, t186 t185, t187 t186, t188 t187, t189 t188, t190 t189, t191 t190,
    t192 t191, t193 t192, t194 t193, t195 t194, t196 t195, t197 t196, t198 t197, t199 t198,
}

fn main() {
    let chain = anio::workflow! { name: "chain", tasks: [
        t199, t198, t197, t196, t195, t194, t193, t192, t191, t190, t189, t188, t187, t186, t185, t184, t183,
        t182, t181, t180, t179, t178, t177, t176, t175, t174, t173, t172, t171, t170, t169, t168, t167, t166,
        t165, t164, t163, t162, t161, t160, t159, t158, t157, t156, t155, t154, t153, t152, t151, t150, t149,
        t148, t147, t146, t145, t144, t143, t142, t141, t140, t139, t138, t137, t136, t135, t134, t133, t132,
        t131, t130, t129, t128, t127, t126, t125, t124, t123, t122, t121, t120, t119, t118, t117, t116, t115,
        t114, t113, t112, t111, t110, t109, t108, t107, t106, t105, t104, t103, t102, t101, t100, t99, t98,
        t97, t96, t95, t94, t93, t92, t91, t90, t89, t88, t87, t86, t85, t84, t83, t82, t81, t80, t79, t78,
        t77, t76, t75, t74, t73, t72, t71, t70, t69, t68, t67, t66, t65, t64, t63, t62, t61, t60, t59, t58,
        t57, t56, t55, t54, t53, t52, t51, t50, t49, t48, t47, t46, t45, t44, t43, t42, t41, t40, t39, t38,
        t37, t36, t35, t34, t33, t32, t31, t30, t29, t28, t27, t26, t25, t24, t23, t22, t21, t20, t19, t18,
        t17, t16, t15, t14, t13, t12, t11, t10, t9, t8, t7, t6, t5, t4, t3, t2, t1, t0,
    ] };
    assert_eq!(chain.plan().n_tasks(), 200);
}
